"""Control of a run, as a user types it, on a real fleet."""

from __future__ import annotations

from datetime import date

import pytest

from tests.conftest import Sandbox
from tests.waiting import until

DAYS = [date(2021, 11, day) for day in (10, 18)]


def make_holes(sandbox: Sandbox) -> None:
    for table in [name for name in sandbox.tables if not name.startswith("nba_raw.")]:
        for day in DAYS:
            sandbox.run_sql(f"DELETE FROM {table} WHERE game_date = @day", day=day)


def enqueue(sandbox: Sandbox) -> str:
    done = sandbox.planner("enqueue", "--gaps", "--chunk-dates", "1", "--json", "--no-cascade")
    assert done.code == 0, done.err
    run_id: str = done.json["run_id"]
    return run_id


@pytest.mark.slow
def test_pause_and_resume(fleet: Sandbox) -> None:
    # Given a run that has begun
    make_holes(fleet)
    run_id = enqueue(fleet)
    until(lambda: fleet.steps(run_id)["succeeded"] >= 1)

    # When it is paused
    assert fleet.planner("pause", run_id).code == 0

    # Then what runs ends, and nothing starts
    until(lambda: fleet.steps(run_id)["running"] == 0)
    before = fleet.steps(run_id)
    assert before["pending"] > 0
    assert fleet.planner("status", run_id, "--json").json["state"] == "paused"
    assert fleet.planner("pause", run_id).code == 0  # it is

    # When it is resumed, it goes on to its end
    assert fleet.planner("resume", run_id).code == 0
    assert fleet.planner("watch", run_id).code == 0
    assert fleet.differences() == []


@pytest.mark.slow
def test_cancel_stops_what_runs_and_retry_takes_it_up_again(fleet: Sandbox) -> None:
    # Given a run with a step that hangs
    make_holes(fleet)
    fleet.fault({"analytics": {str(DAYS[-1]): "hang"}})
    run_id = enqueue(fleet)
    until(lambda: fleet.scripts() and fleet.steps(run_id)["succeeded"] >= 1)

    # When it is cancelled
    assert fleet.planner("cancel", run_id).code == 0
    ended = fleet.planner("watch", run_id)

    # Then it ends, with every step settled, and no script goes on
    assert ended.code == 4
    after = fleet.steps(run_id)
    assert (after["pending"], after["running"]) == (0, 0)
    assert after["cancelled"] > 0
    assert fleet.scripts() == []
    assert fleet.planner("status", run_id, "--json").json["state"] == "cancelled"

    # When it is tried again without the fault, the same run repairs everything
    fleet.fault({})
    retried = fleet.planner("retry", run_id, "--wait", "--json")
    assert retried.code == 0, retried.err
    assert retried.json["state"] == "complete"
    assert fleet.differences() == []
    assert fleet.planner("retry", run_id).code == 2  # nothing is left
    assert fleet.planner("cancel", run_id).code == 2  # it has ended
