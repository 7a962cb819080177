"""Every command on BigQuery that does not find a table once, though it is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from planner.report.history import TABLES as HISTORY_TABLES
from planner.sandbox.compare import differences
from planner.sandbox.workers import environment_of
from planner.settings import Settings
from sql import open_warehouse
from tests.acceptance.test_bigquery_job import (
    LOST,
    SCOPE,
    START,
    TABLES,
    here,
    planner,
    server,
    settings_of,
    whole,
    writes,
)
from tests.bigquery_server.faults import NOT_FOUND
from tests.bigquery_server.rest import BigQueryServer
from tests.commands import Done
from worker.processes.embedded_redis import embedded_broker
from worker.processes.workers import run_workers

__all__ = ["here", "server", "whole"]

HEALED_DAYS = str((datetime.now(UTC).date() - START).days + 1)
COMMANDS = {
    "gaps": ("gaps", *SCOPE, "--json"),
    "plan": ("plan", *SCOPE, "--json"),
    "explain": ("explain", "sessionise", str(LOST), "--json"),
    "validate": ("validate", *SCOPE, "--json"),
    "compare": ("compare", "before", "after", "--json"),
    "heal": ("heal", "--days", HEALED_DAYS, "--dry-run", "--json"),
    "doctor": ("doctor", "--json"),
    "init": ("init", "made.toml", "--datasets", "shop_raw,shop_analytics,shop_reports", "--json"),
    "enqueue": ("enqueue", "--gaps", *SCOPE, "--yes", "--json"),
    "runs": ("runs", "--json"),
    "status": ("status", "RUN", "--json"),
    "report": ("report", "RUN", "--json"),
    "diff": ("diff", "RUN", "--json"),
}
CHANGING = re.compile(
    r"\d{4}-\d\d-\d\dT[\d:.]+|\"(plan_id|checksum|seconds)\": [^,}]+|, \d+\.\d+ s\\b"
)
WITHOUT_WAREHOUSE = ("compare", "runs", "status", "report", "diff")
"""Of a run that has only been sent: they ask the warehouse for nothing."""
SAVES = ("before", "after")
HISTORY_ROWS = ("backfill_runs", "data_gaps")
HISTORY, KEPT = "shop_history", "shop_kept"
MISSES = {
    "tables.get": (NOT_FOUND, "tables.get"),
    "jobs.insert": (NOT_FOUND, "jobs.insert"),
    "in a job": (NOT_FOUND.within_job(), "jobs.insert"),
}


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    settings = settings_of("bigquery:shop-project", tmp_path)
    with embedded_broker(settings):
        yield settings


def told(done: Done) -> tuple[int, list[str], int]:
    """What a command answers, but for the times and ids that differ from one call to the next."""
    return done.code, CHANGING.sub("", done.out).splitlines(), len(done.err.splitlines())


@pytest.mark.slow
def test_a_table_that_is_not_found_once_changes_no_answer(
    server: BigQueryServer, settings: Settings
) -> None:
    run = ""

    def ask(command: str, *misses: str) -> Done:
        server.heal()
        Path(settings.home_dir.parent, "made.toml").unlink(missing_ok=True)
        for miss in misses:
            fault, method = MISSES[miss]
            server.fail(fault, on=method)
        return planner(settings, server, *(run if w == "RUN" else w for w in COMMANDS[command]))

    for name in SAVES:
        assert planner(settings, server, "validate", *SCOPE, "--save", name).code in (0, 1)
    for command in COMMANDS:
        if command == "enqueue":  # it is given once, so both at once
            done = ask(command, "tables.get", "jobs.insert")
            assert done.code == 0, done.err
            run = done.json["run_id"]
            continue
        before = server.count()
        right = ask(command)
        assert right.code in (0, 1, 2), (command, right.err)
        assert server.count() > before or command in WITHOUT_WAREHOUSE
        for miss in MISSES:
            missed = ask(command, miss)
            assert told(missed) == told(right), (command, miss, missed.err)


@pytest.fixture
def keeping(here: Path) -> Iterator[BigQueryServer]:
    """One with a dataset for history, and another for what is written over."""
    with BigQueryServer(here, locations={HISTORY: "US", KEPT: "US"}) as server:
        yield server


@pytest.mark.slow
def test_a_table_that_is_not_found_once_changes_nothing_that_is_written(
    whole: Path, here: Path, keeping: BigQueryServer, settings: Settings
) -> None:
    # Given runs whose history is kept in the warehouse, and what they write over too
    server = keeping
    settings = settings.model_copy(update={"history_dataset": HISTORY, "keep_dataset": KEPT})
    local = open_warehouse(f"local:{here}")

    def ask(miss: str, *arguments: str) -> Done:
        """With a table that is not found once."""
        server.heal()
        fault, method = MISSES[miss]
        server.fail(fault, on=method)
        for table in HISTORY_ROWS:
            server.fail(replace(fault, about=f"MERGE `{HISTORY}.{table}`"), on=method)
        done = planner(settings, server, *arguments, "--json")
        assert done.code == 0, (arguments, done.err)
        assert len(done.err.splitlines()) <= 1, (arguments, done.err)
        return done

    def unequal() -> list[Any]:
        return differences(open_warehouse(f"local:{whole}"), local, TABLES)

    holes = unequal()
    for miss in MISSES:
        made = ask(miss, "history", "--create").json["tables"]
        assert len(made) == len(HISTORY_TABLES)

    # When a run is cancelled before anything of it began, and then tried again
    run = ask("in a job", "enqueue", "--gaps", "--yes", *SCOPE).json["run_id"]
    ask("jobs.insert", "cancel", run)
    with ExitStack() as stack:
        environment = environment_of(settings) | {"BIGQUERY_EMULATOR_HOST": server.url}
        stack.enter_context(run_workers(settings, workers=2, environment=environment))
        assert planner(settings, server, "watch", run).code == 4
        assert ask("jobs.insert", "retry", run, "--wait").json["state"] == "complete"
        assert unequal() == []

        # Then its history is there, and the rows that it wrote over are put back
        told = local.rows(f"SELECT run_id, state FROM {HISTORY}.backfill_runs", {})
        assert told == [{"run_id": run, "state": "complete"}]
        found = local.rows(f"SELECT DISTINCT status FROM {HISTORY}.data_gaps", {})
        assert found == [{"status": "healed"}]
        for table in HISTORY_ROWS:
            assert (
                max(n for text, n in writes(server).items() if f"MERGE `{HISTORY}.{table}`" in text)
                == 2
            )
        report = ask("in a job", "restore", run, "--yes").json
    assert report["not_kept"] == []
    assert unequal() == holes
