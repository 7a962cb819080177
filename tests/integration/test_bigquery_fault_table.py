"""Faults of BigQuery × moments of a repair: exit code, rows, and writes that were made twice.

    make bigquery-faults

writes the table of docs/reliability-bigquery.md. The statement of the repair is a plain INSERT, so
that a second write shows. Pauses are cut short, and nothing else is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import redis

from planner.console.run_status import run_exit
from planner.errors import Exit
from planner.gaps.survey import survey
from planner.settings import Settings
from sql import WarehouseError
from sql.bigquery import BigQueryWarehouse
from sql.errors import BadAnswer, LostWrite, NeverStarted
from tests.bigquery_server import faults as bq
from tests.bigquery_server.faults import Fault
from tests.bigquery_server.rest import BigQueryServer
from tests.integration.bench import DAYS, GAMES, Bench
from tests.integration.visits import RUN, SCOPE, Visits
from worker.context import Context
from worker.finalization.finalize import finalize
from worker.runners.sql import read_statement
from worker.step.errors import Requeue
from worker.step.recount import recount

pytestmark = pytest.mark.slow
"""What each fault does to a job is shown by test_bigquery_jobs.py, quickly."""

FILL = """
INSERT INTO lake.first
SELECT day, game FROM lake.raw WHERE day BETWEEN @start_date AND @end_date
"""
RUNNERS = """
[[phases.runners]]
kind = "sql"
statements = ["fill"]
"""
FIRST = "p:lake.first"
MOMENTS = ("planning", "a write", "recount", "final count")
RESULTS = "jobs.getQueryResults"
INSERT = "jobs.insert"
HEALED_AFTER = 3
"""Deliveries that a lasting fault outlasts."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A fault, the requests that meet it, and for how many of them."""

    fault: Fault
    on: str | None = INSERT
    times: int = 1
    passes: bool = True
    """Whether the same works later without a person."""


CASES = {
    "503 to jobs.insert": Case(fault=bq.UNAVAILABLE),
    "503 to jobs.insert, which was done": Case(fault=bq.UNAVAILABLE.after_the_work()),
    "503 to jobs.get": Case(fault=bq.UNAVAILABLE, on="jobs.get"),
    "503 to getQueryResults": Case(fault=bq.UNAVAILABLE, on=RESULTS),
    "503 to everything, for longer than it is asked": Case(
        fault=bq.UNAVAILABLE, on=None, times=1000
    ),
    "every answer lost, though the job is done": Case(
        fault=bq.UNAVAILABLE.after_the_work(), on=None, times=1000
    ),
    "408 to jobs.insert": Case(fault=bq.REQUEST_TIMEOUT),
    "408 to jobs.insert, which was done": Case(fault=bq.REQUEST_TIMEOUT.after_the_work()),
    "504 to jobs.insert": Case(fault=bq.GATEWAY_TIMEOUT),
    "504 to jobs.insert, which was done": Case(fault=bq.GATEWAY_TIMEOUT.after_the_work()),
    "504 to getQueryResults": Case(fault=bq.GATEWAY_TIMEOUT, on=RESULTS),
    "an answer of jobs.insert is cut": Case(fault=bq.UNAVAILABLE.cut_off()),
    "an answer of getQueryResults is cut": Case(fault=bq.UNAVAILABLE.cut_off(), on=RESULTS),
    "rate limit": Case(fault=bq.RATE_LIMITED),
    "rate limit of the job": Case(fault=bq.RATE_LIMITED.within_job()),
    "jobBackendError at insert": Case(fault=bq.JOB_BACKEND),
    "jobBackendError of the job": Case(fault=bq.JOB_BACKEND.within_job()),
    "jobInternalError at insert": Case(fault=bq.JOB_INTERNAL),
    "jobInternalError of the job": Case(fault=bq.JOB_INTERNAL.within_job()),
    "backendError of the job": Case(fault=bq.UNAVAILABLE.within_job()),
    "tableUnavailable": Case(fault=bq.TABLE_UNAVAILABLE.within_job()),
    "404 once for a table that is there": Case(fault=bq.NOT_FOUND),
    "404 for a table that is made anew": Case(
        fault=replace(bq.NOT_FOUND, message=f"Not found: Table {FIRST} was not found").within_job(),
        times=4,
    ),
    "quotaExceeded": Case(fault=bq.QUOTA_EXCEEDED),
    "quotaExceeded of the job": Case(fault=bq.QUOTA_EXCEEDED.within_job()),
    "rows in the streaming buffer": Case(fault=bq.STREAMED.within_job()),
    "another writer of the table": Case(fault=bq.WRITTEN_MEANWHILE.within_job()),
    "fewer rows than totalRows": Case(fault=bq.FEWER, on=RESULTS),
    "a page token that never ends": Case(fault=bq.ENDLESS, on=RESULTS),
    "a count that is NULL": Case(fault=bq.NO_NUMBER, on=RESULTS),
    "a count that is no number": Case(fault=bq.WORD, on=RESULTS),
    "access denied": Case(fault=bq.ACCESS_DENIED, times=1000, passes=False),
    "a limit on the bytes billed": Case(fault=bq.BYTES_LIMIT, times=1000, passes=False),
}

TOLD: dict[str, dict[str, str]] = {}


class Served(Bench):
    """A bench whose tables are in BigQuery."""

    def context(self, runners: str) -> Context:
        (self.place / "fill.sql").write_text(FILL)
        context = super().context(runners)
        context.__dict__["warehouse"] = BigQueryWarehouse("p", retry_seconds=0.3)
        return context

    @property
    def rows(self) -> int:
        local = self.warehouse()
        count: int = local.rows("SELECT COUNT(*) AS n FROM lake.first", {})[0]["n"]
        local.close()
        return count


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = dict.fromkeys(("quotaExceeded", "notFound", ""), (0.0, 60.0))
    monkeypatch.setattr("sql.bigquery_errors._PATIENCE", waits)
    monkeypatch.setattr("sql.bigquery_errors._BUFFER_PATIENCE", (0.0, 60.0))
    monkeypatch.setattr("sql.bigquery_jobs._SOON_SECONDS", 0.01)
    for kind in (LostWrite, NeverStarted, BadAnswer):
        monkeypatch.setattr(kind, "pause_seconds", 0.0)


@pytest.fixture
def bench(
    tmp_path: Path,
    client: redis.Redis,
    redis_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[tuple[Served, BigQueryServer]]:
    bench = Served(place=tmp_path, broker_url=redis_settings.redis_url)
    with BigQueryServer(tmp_path / "warehouse", wait_seconds=0.1) as server:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.url)
        yield bench, server


@pytest.fixture(scope="module", autouse=True)
def _report() -> Iterator[None]:
    yield
    place = os.environ.get("BIGQUERY_REPORT")
    if place:
        write_report(Path(place))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_fault_ends_right_or_with_a_reason(
    bench: tuple[Served, BigQueryServer],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    moment: str,
) -> None:
    case = CASES[name]
    served, server = bench

    def inject() -> None:
        server.fail(case.fault, on=case.on, times=case.times)

    exit_code = (
        planned(served, inject)
        if moment == "planning"
        else repaired(served, server, case, moment, inject, monkeypatch)
    )
    whole = GAMES * len(DAYS)
    twice = max(0, served.rows - whole)
    told = f"{exit_code}"
    if moment != "planning":
        told += f", {served.rows} rows, {twice} twice"
    TOLD.setdefault(name, {})[moment] = told

    # Then nothing was written twice, and what passes by itself needs nobody
    assert twice == 0
    if moment == "planning":
        assert exit_code in (Exit.DONE, Exit.UNREACHABLE)
    elif case.passes:
        assert (exit_code, served.rows) == (Exit.DONE, whole)
    elif moment == "a write":
        assert (exit_code, served.rows) == (Exit.FAILED, 0)
    else:
        assert exit_code is not Exit.DONE


def planned(bench: Served, inject: Callable[[], None]) -> Exit:
    """What a plan finds, or that it says that it cannot be made."""
    context = bench.context(RUNNERS)
    inject()
    try:
        health = survey(context.warehouse, context.pipeline, SCOPE)
    except WarehouseError as error:
        if "\n" in str(error):
            raise
        return Exit.UNREACHABLE  # as `planner.cli` has it
    finally:
        context.warehouse.close()
    assert len(health.gaps["facts"]) == len(DAYS)
    return Exit.DONE


def repaired(
    bench: Served,
    server: BigQueryServer,
    case: Case,
    moment: str,
    inject: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
) -> Exit:
    """A repair that meets the fault at a moment, once."""
    left = [moment]

    def meet(now: str) -> None:
        if left == [now]:
            left.clear()
            inject()

    def statement(name: str, beside: Path) -> str:
        text = read_statement(name, beside)
        meet("a write")
        return text

    def counted(*args: object, **options: object) -> object:
        meet("recount")
        return recount(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("worker.runners.sql.read_statement", statement)
    monkeypatch.setattr("worker.step.attempt.recount", counted)
    visits = Visits(bench=bench, runners=RUNNERS)
    for n in range(100):
        if not n % HEALED_AFTER and not left and case.passes:
            server.heal()
        if visits.step().state in ("succeeded", "failed", "blocked"):
            break
        visits.visit()
    if case.passes:
        assert visits.step().failures == 0, "what passes spends no retry"
    meet("final count")
    for n in range(100):
        if n == HEALED_AFTER and case.passes:
            server.heal()
        try:
            finalize(visits.context, RUN)
            break
        except Requeue:
            continue
    server.heal()
    record = visits.context.ledger.require(RUN)
    visits.context.warehouse.close()
    return run_exit(record)


def write_report(path: Path) -> None:
    """The page of the table."""
    lines = [
        "# Reliability on BigQuery",
        "",
        "What a repair makes of BigQuery's faults, by a server that speaks its REST API and fails",
        "on purpose. The repair is one plain `INSERT` of "
        f"{GAMES * len(DAYS)} rows, so a second write shows. Written by",
        "",
        "```console",
        "$ make bigquery-faults",
        "```",
        "",
        "Each cell is the exit code, as `planner enqueue --wait` and `planner plan` have it, the",
        "rows at the end, and how many were written twice. 3: the plan says what is wrong and asks",
        "for another try. Steps and the end of a run wait for what passes, and spend no retry.",
        "",
        f"| fault | {' | '.join(MOMENTS)} |",
        "|---|" + "---|" * len(MOMENTS),
    ]
    lines += [
        f"| {name} | {' | '.join(told.get(moment, 'not shown') for moment in MOMENTS)} |"
        for name in CASES
        for told in [TOLD.get(name, {})]
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
