"""The runner of SQL statements against BigQuery: what each refusal means for a step's dates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from planner.pipeline.load import load_pipeline
from planner.pipeline.phase import Phase
from planner.pipeline.runners import SqlRunner
from sql.bigquery import BigQueryWarehouse
from sql.local import LocalWarehouse
from sql.warehouse import Warehouse
from tests.bigquery_server.faults import (
    ACCESS_DENIED,
    BYTES_LIMIT,
    DML_QUEUE_FULL,
    OUT_OF_MEMORY,
    QUOTA_EXCEEDED,
    RESPONSE_TOO_LARGE,
    TOO_LARGE,
    WRITTEN_MEANWHILE,
    Fault,
)
from tests.bigquery_server.rest import BigQueryServer
from worker.runners.job import LEASE_LOST, Failed, Job, Ran, Stopped, TooLarge, TryLater
from worker.runners.sql import Sql

PHASE = load_pipeline(str(Path(__file__).with_name("two_phases.toml"))).phases[0]
DATES = (date(2024, 1, 1), date(2024, 1, 2))
FILL = (
    "INSERT INTO raw.games SELECT d, 'g' AS game "
    "FROM UNNEST(GENERATE_DATE_ARRAY(@start_date, @end_date)) AS d"
)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[BigQueryServer]:
    local = LocalWarehouse(tmp_path / "tables")
    local.run("CREATE TABLE raw.games (d DATE, game STRING) PARTITION BY d", {})
    local.close()
    (tmp_path / "fill.sql").write_text(FILL)
    with BigQueryServer(tmp_path / "tables") as server:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.url)
        yield server
        assert not server.unknown


@pytest.fixture
def warehouse(server: BigQueryServer) -> Iterator[BigQueryWarehouse]:
    warehouse = BigQueryWarehouse("p")
    yield warehouse
    warehouse.close()


def job(
    warehouse: Warehouse,
    folder: Path,
    *,
    stop: Callable[[], str | None] = lambda: None,
    phase: Phase = PHASE,
) -> Job:
    return Job(
        run_id="run-1",
        step_id="step-1",
        phase=phase,
        dates=DATES,
        attempt=1,
        checkpoint={},
        log=folder / "log",
        pipeline_dir=folder,
        warehouse=warehouse,
        grace_seconds=1,
        stop=stop,
    )


SPEC = SqlRunner(kind="sql", statements=("fill",))


@pytest.mark.parametrize("in_job", [False, True], ids=["at once", "in the job"])
@pytest.mark.parametrize(
    ("fault", "expected", "said"),
    [
        (WRITTEN_MEANWHILE, TryLater, "try again later"),
        (DML_QUEUE_FULL, TryLater, "try again later"),
        (QUOTA_EXCEEDED, TryLater, "quota"),
        (BYTES_LIMIT, TooLarge, "fewer dates"),
        (RESPONSE_TOO_LARGE, TooLarge, "fewer dates"),
        (OUT_OF_MEMORY, TooLarge, "fewer dates"),
        (ACCESS_DENIED, None, "Grant"),
    ],
    ids=[
        "written meanwhile",
        "too many writers",
        "quota",
        "bytes limit",
        "answer too large",
        "out of memory",
        "access denied",
    ],
)
@pytest.mark.quick(0, 3, 4, 7, 8, 11, 12)
def test_what_may_pass_is_tried_again_and_what_is_too_much_is_halved(
    warehouse: BigQueryWarehouse,
    server: BigQueryServer,
    tmp_path: Path,
    fault: Fault,
    expected: type[TryLater | TooLarge] | None,
    said: str,
    in_job: bool,
) -> None:
    server.fail(replace(fault, in_job=in_job), on="jobs.insert")

    outcome = Sql(SPEC).run(job(warehouse, tmp_path))

    # Then it fails once, and is hopeless only where nothing but a person can help
    assert isinstance(outcome, expected or Failed)
    told = outcome.error
    if isinstance(outcome, TryLater):
        assert outcome.checkpoint["statement"] == 0
        told = f"{outcome.what}: {outcome.error}"
    assert isinstance(told, str)
    assert said in told
    assert told.startswith("fill: bigquery:p: ")
    if isinstance(outcome, Failed):
        assert outcome.is_permanent == (expected is None)
    assert isinstance(Sql(SPEC).run(job(warehouse, tmp_path)), Ran)


def test_a_request_that_googles_front_end_refuses_is_halved(
    warehouse: BigQueryWarehouse, server: BigQueryServer, tmp_path: Path
) -> None:
    server.fail(TOO_LARGE, on="jobs.insert")

    assert isinstance(Sql(SPEC).run(job(warehouse, tmp_path)), TooLarge)


def test_a_rate_limit_of_jobs_is_tried_again(
    warehouse: BigQueryWarehouse, server: BigQueryServer, tmp_path: Path
) -> None:
    limit = Fault(reason="jobRateLimitExceeded", message="Exceeded rate limits for jobs.")
    server.fail(limit, on="jobs.insert")

    assert isinstance(Sql(SPEC).run(job(warehouse, tmp_path)), Ran)


def test_a_statement_that_runs_is_cancelled_when_the_step_must_stop(
    warehouse: BigQueryWarehouse, server: BigQueryServer, tmp_path: Path
) -> None:
    # Given a statement that does not end, and a lease that is lost once it runs
    server.hold()

    def stop() -> str | None:
        return LEASE_LOST if server.count("jobs.getQueryResults") else None

    outcome = Sql(SPEC).run(job(warehouse, tmp_path, stop=stop))

    # Then it is cancelled, and nothing is written, then or later
    assert outcome == Stopped(why=LEASE_LOST)
    assert server.count("jobs.cancel") == 1
    server.release()
    assert warehouse.rows("SELECT COUNT(*) AS n FROM raw.games", {}) == [{"n": 0}]


def test_a_statement_that_outlasts_its_phase_is_cancelled(
    warehouse: BigQueryWarehouse, server: BigQueryServer, tmp_path: Path
) -> None:
    server.hold()
    phase = PHASE.model_copy(update={"timeout_seconds": 0.3})

    outcome = Sql(SPEC).run(job(warehouse, tmp_path, phase=phase))

    # Then halves of its dates are tried, as of a script's; a date alone is tried again
    assert outcome == TooLarge(error="fill: timed out after 0.3 s")
    assert server.count("jobs.cancel") == 1


def test_a_statement_that_is_done_before_it_can_be_cancelled_is_done(
    warehouse: BigQueryWarehouse,
    server: BigQueryServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a statement that BigQuery has done when the wish to cancel it comes
    server.hold()
    monkeypatch.setattr(warehouse, "cancel", server.release)

    def stop() -> str | None:
        return LEASE_LOST if server.count("jobs.getQueryResults") else None

    assert isinstance(Sql(SPEC).run(job(warehouse, tmp_path, stop=stop)), Ran)
    assert "2 rows" in (tmp_path / "log").read_text()


# -- one statement per file --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("SELECT 1", None),
        ("SELECT ';' AS a; -- the end; of all\n", None),
        ("DECLARE d DATE; SET d = @start_date; DELETE FROM raw.games WHERE d = d;", None),
        ("BEGIN DELETE FROM a.b WHERE TRUE; INSERT INTO a.b SELECT 1; END", None),
        (f"DELETE FROM raw.games WHERE TRUE;\n{FILL};", "it holds 2 statements, and has to be one"),
        ("-- nothing yet\n", "it holds no statements"),
    ],
)
def test_a_file_of_several_statements_is_refused_before_it_runs(
    tmp_path: Path, text: str, told: str | None
) -> None:
    (tmp_path / "fill.sql").write_text(text)
    found = Sql(SqlRunner(kind="sql", statements=("fill",))).absence(tmp_path)
    assert found is None if told is None else told in str(found)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"{FILL}; {FILL}", "it holds 2 statements"),
        ("UPDATE raw.games SET game = 'x' WHERE TRUE", "does not run UPDATE"),
        ("SELECT FROM WHERE", "Not one GoogleSQL statement"),
        ("INSERT INTO raw.games SELECT no_such FROM raw.games", "no_such"),
    ],
)
def test_what_the_local_warehouse_refuses_is_permanent(
    tmp_path: Path, text: str, told: str
) -> None:
    local = LocalWarehouse(tmp_path / "tables")
    local.run("CREATE TABLE raw.games (d DATE, game STRING) PARTITION BY d", {})
    (tmp_path / "fill.sql").write_text(text)
    outcome = Sql(SqlRunner(kind="sql", statements=("fill",))).run(job(local, tmp_path))
    assert isinstance(outcome, Failed)
    assert outcome.is_permanent
    assert told in outcome.error


def test_a_last_comment_is_no_statement(tmp_path: Path) -> None:
    local = LocalWarehouse(tmp_path / "tables")
    local.run("CREATE TABLE raw.games (d DATE, game STRING) PARTITION BY d", {})
    (tmp_path / "fill.sql").write_text(f"{FILL};\n-- the end\n")
    outcome = Sql(SqlRunner(kind="sql", statements=("fill",))).run(job(local, tmp_path))
    assert isinstance(outcome, Ran)
