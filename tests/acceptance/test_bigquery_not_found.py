"""Every command on BigQuery that does not find a table once, though it is there."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from planner.settings import Settings
from tests.acceptance.test_bigquery_job import (
    LOST,
    SCOPE,
    here,
    planner,
    server,
    settings_of,
    whole,
)
from tests.bigquery_server.faults import NOT_FOUND
from tests.bigquery_server.rest import BigQueryServer
from tests.commands import Done
from worker.processes.embedded_redis import embedded_broker

__all__ = ["here", "server", "whole"]

COMMANDS = {
    "gaps": ("gaps", *SCOPE, "--json"),
    "plan": ("plan", *SCOPE, "--json"),
    "explain": ("explain", "sessionise", str(LOST), "--json"),
    "validate": ("validate", *SCOPE, "--json"),
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
WITHOUT_WAREHOUSE = ("runs", "status", "report", "diff")
"""Of a run that has only been sent: they ask the warehouse for nothing."""
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
