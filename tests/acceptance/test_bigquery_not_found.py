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

from planner import cli
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
HEAL = ("heal", "--days", HEALED_DAYS)
COMMANDS = {
    "gaps": ("gaps", *SCOPE, "--json"),
    "plan": ("plan", *SCOPE, "--json"),
    "explain": ("explain", "sessionise", str(LOST), "--json"),
    "validate": ("validate", *SCOPE, "--json"),
    "compare": ("compare", "before", "after", "--json"),
    "heal": (*HEAL, "--dry-run", "--json"),
    "doctor": ("doctor", "--json"),
    "init": ("init", "made.toml", "--datasets", "shop_raw,shop_analytics,shop_reports", "--json"),
    "metrics": ("metrics", "--once", "--gaps-every", "1h"),
    "settings": ("settings", "--json"),
    "enqueue": ("enqueue", "--gaps", *SCOPE, "--yes", "--json"),
    "runs": ("runs", "--json"),
    "status": ("status", "RUN", "--json"),
    "report": ("report", "RUN", "--json"),
    "diff": ("diff", "RUN", "--json"),
    "log": ("log", "RUN", "--json"),
    "logs": ("logs", "RUN"),
}
WRITING = ("history", "cancel", "retry", "restore", "pause", "resume", "watch", "heal")
"""What is given once, in the tests below."""
APART = {
    "up": "it starts workers, which the runs below have",
    "serve": "it counts open gaps as `metrics` does, in a thread that goes on for ever",
    "demo": "it builds a warehouse of its own, on this machine",
    "sandbox": "it builds warehouses on this machine",
    "ledger": "another name of `history`",
}
"""What asks BigQuery for nothing that no other command asks for, and why."""
USUAL = re.compile(r"no worker is there|^restore-\S+ begins|^\d+ of \d+: ")
"""What is said without a fault, too."""
CHANGING = re.compile(
    r"(?m)^backfill_\w*(redis|seconds|timestamp)\w*(\{.*\})? [-\d.e+]+$|\d{4}-\d\d-\d\dT[\d:.]+"
    r"|\"(plan_id|checksum|seconds)\": [^,}]+|, \d+\.\d+ s\\b"
)
WITHOUT_WAREHOUSE = ("compare", "settings", "runs", "status", "report", "diff", "log", "logs")
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


def test_no_command_is_forgotten() -> None:
    assert {*COMMANDS, *WRITING, *APART} == {str(each.name) for each in cli.Commands.lazy}


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
        said = [line for line in done.err.splitlines() if not USUAL.search(line)]
        assert len(said) <= 1, (arguments, done.err)
        return done

    def unequal() -> list[Any]:
        return differences(open_warehouse(f"local:{whole}"), local, TABLES)

    holes = unequal()
    for miss in MISSES:
        made = ask(miss, "history", "--create").json["tables"]
        assert len(made) == len(HISTORY_TABLES)

    # When gaps are enqueued by healing, in vain
    would = planner(settings, server, *HEAL, "--dry-run", "--json").json
    healed = ask("jobs.insert", *HEAL).json
    assert healed == would | {"run_id": healed["run_id"]}
    assert str(LOST) in healed["dates"]
    ask("tables.get", "cancel", healed["run_id"])

    # And a run is paused, goes on, and is cancelled before anything of it began, then tried again
    run = ask("in a job", "enqueue", "--gaps", "--yes", *SCOPE).json["run_id"]
    ask("tables.get", "pause", run)
    ask("in a job", "resume", run)
    ask("jobs.insert", "cancel", run)
    with ExitStack() as stack:
        environment = environment_of(settings) | {"BIGQUERY_EMULATOR_HOST": server.url}
        stack.enter_context(run_workers(settings, workers=2, environment=environment))
        assert planner(settings, server, "watch", run).code == 4
        assert ask("jobs.insert", "retry", run, "--wait").json["state"] == "complete"
        assert unequal() == []

        # Then its history is there, and the rows that it wrote over are put back
        told = local.rows(f"SELECT run_id, state FROM {HISTORY}.backfill_runs", {})
        states = {row["run_id"]: row["state"] for row in told}
        assert (states, len(told)) == ({run: "complete", healed["run_id"]: "cancelled"}, 2)
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
