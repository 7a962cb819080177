"""What Redis holds of one run is damaged, or of a later version: named, and passed over."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import redis

from planner.plan.parse import read_plan
from planner.plan.states import RunState
from planner.settings import load_settings
from tests.integration.bad import Run
from worker.context import Context
from worker.ledger.keys import run_key
from worker.ledger.ledger import Ledger
from worker.reconciler import reconcile

HUGE = "9" * 40


@pytest.fixture
def two(run: Run, client: redis.Redis, tmp_path: Path) -> tuple[str, str]:
    """Two runs that go on: one that is well, and one to damage."""
    ledger = Ledger(client)
    for run_id in ("run-bad", "run-good"):
        path = tmp_path / f"{run_id}.json"
        told = run("plan", "--limit", "1", "--chunk-dates", "1", "--out", str(path))
        assert told.code == 0, told.err
        ledger.register(run_id, read_plan(path))
        ledger.move(run_id, RunState.RUNNING, [RunState.INCOMPLETE])
    return "run-good", "run-bad"


FORGED = [
    ("", "state", "hibernating"),
    ("", "created", "yesterday"),
    ("", "created", HUGE),
    ("", "created", "nan"),
    ("", "ended", "-1e300"),
    ("", "deadline", "soon"),
    ("", "deadline", HUGE),
    ("", "steps_total", "many"),
    ("", "force_service", "perhaps"),
    ("", "validation", "["),
    ("", "validation", '{"passed": "who knows"}'),
    ("", "publication", "[1]"),
    ("", "publication", "{}"),
    ("", "note", b"\xff\xfe"),
    ("steps", None, "hibernating"),
    ("steps", None, b"\xff"),
    ("dates", None, "hibernating"),
    ("dates", "facts|soon", "done"),
]


def forge(client: redis.Redis, run_id: str, part: str, field: str | None, value: Any) -> None:
    key = run_key(run_id, part)
    client.hset(key, field or str(client.hkeys(key)[0]), value)


@pytest.mark.parametrize(("part", "field", "value"), FORGED, ids=range(len(FORGED)))
@pytest.mark.quick(0, 6, 7, 10, 13, 14, 17)
def test_a_forged_field_is_told_in_words(
    run: Run,
    client: redis.Redis,
    two: tuple[str, str],
    part: str,
    field: str | None,
    value: Any,
    caplog: pytest.LogCaptureFixture,
) -> None:
    good, bad = two
    forge(client, bad, part, field, value)

    listed, status = run("runs"), run("status", bad)

    assert (listed.code, good in listed.out) == (0, True), listed
    assert status.code == 4, status
    assert bad in status.err
    assert "cannot be read" in status.err
    if not part:
        assert bad in listed.err
        assert bad not in listed.out
    if part != "dates":  # which the reconciler does not read
        assert_reconciled(client, good, bad, caplog)


def assert_reconciled(
    client: redis.Redis, good: str, bad: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The run that is well is looked after, and the other is named."""
    client.delete(run_key(good, "missing"))
    with caplog.at_level(logging.WARNING):
        reconcile(Context(load_settings(), patient=False))
    assert client.exists(run_key(good, "missing"))
    assert any(bad in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("part", ["", "steps", "plan"])
def test_a_key_of_another_type_is_told_in_words(
    run: Run,
    client: redis.Redis,
    two: tuple[str, str],
    part: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    good, bad = two
    client.delete(run_key(bad, part))
    client.rpush(run_key(bad, part), "x")

    listed, status = run("runs"), run("status", bad)

    assert (listed.code, good in listed.out) == (0, True), listed
    assert status.code == 4, status
    assert "cannot be read" in status.err
    if part != "plan":  # which the reconciler does not read
        assert_reconciled(client, good, bad, caplog)


def test_a_list_of_runs_that_is_none_is_told_in_words(run: Run, client: redis.Redis) -> None:
    client.set("backfill:runs", "x")

    told = run("runs")

    assert told.code == 4
    assert "cannot be read" in told.err
