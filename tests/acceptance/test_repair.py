"""The main job, as a user types it: `planner enqueue --gaps`, on a real fleet."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Sandbox
from tests.waiting import until
from worker.ledger.slots import slots_now

DATE = "2021-11-20"
DELETE = "DELETE FROM {table} WHERE game_date = @day"
ANALYTICS = "nba_analytics.player_game_summary"
PREDICTIONS = "nba_predictions.player_prop_predictions"
ENDED = {"complete", "failed", "cancelled"}
STEP_STATES = {"pending", "running", "succeeded", "failed", "blocked", "cancelled"}


def punch(sandbox: Sandbox, *, seed: int, holes: int) -> None:
    place = sandbox.settings.warehouse.removeprefix("local:")
    done = sandbox.planner("sandbox", "punch", place, "--seed", str(seed), "--holes", str(holes))
    assert done.code == 0, done.err
    assert sandbox.differences()


MANY = pytest.mark.slow


@pytest.mark.parametrize(
    ("workers", "chunk_dates", "seed", "holes"),
    [
        (1, 14, 23, 1),  # of every phase, on the last date: four steps
        pytest.param(2, 14, 19, 1, marks=MANY),
        pytest.param(1, 14, 1, 2, marks=MANY),
        pytest.param(3, 3, 20, 2, marks=MANY),
        pytest.param(4, 3, 3, 2, marks=MANY),
        pytest.param(1, 3, 4, 8, marks=MANY),
        pytest.param(2, 14, 5, 8, marks=MANY),
        pytest.param(4, 1, 7, 8, marks=MANY),
        pytest.param(2, 1, 2, 1, marks=MANY),
    ],
)
def test_repair_equals_rebuild(
    sandbox: Sandbox, workers: int, chunk_dates: int, seed: int, holes: int
) -> None:
    # Given a pipeline with random holes in all phases: dates, tables, single games
    punch(sandbox, seed=seed, holes=holes)
    sandbox.start_fleet(workers=workers)

    # When it is repaired
    done = sandbox.planner(
        "enqueue", "--gaps", "--wait", "--yes", "--chunk-dates", str(chunk_dates)
    )

    # Then every table equals, row for row, the one built in one piece
    assert done.code == 0, done.err
    assert sandbox.differences() == []

    # And there is nothing left to do
    again = sandbox.planner("enqueue", "--gaps", "--wait", "--yes")
    assert (again.code, again.out.strip()) == (0, "Nothing to do.")
    assert sandbox.planner("gaps").code == 0


@pytest.mark.slow
def test_a_failing_date_blocks_its_chain_alone(sandbox: Sandbox) -> None:
    # Given two holes far apart, one of which cannot be filled
    other = "2021-11-28"
    for day in (DATE, other):
        sandbox.run_sql(DELETE.format(table=ANALYTICS), day=day_of(day))
    sandbox.fault({"analytics": {DATE: "crash"}})
    sandbox.start_fleet(workers=2)
    until(lambda: slots_now(sandbox.ledger.client) == 2)

    # When they are repaired, date by date
    done = sandbox.planner(
        "enqueue", "--gaps", "--wait", "--yes", "--no-cascade", "--chunk-dates", "1", "--json"
    )

    # Then the run has failed, names the date, and says how to try it again
    assert done.code == 4, done.err
    estimate = done.json["estimate"]
    assert (estimate["slots"], estimate["slots_are_assumed"], estimate["seconds"]) == (2, False, 20)
    status = done.json["status"]
    assert status["state"] == "failed"
    assert status["estimate"]["planned_seconds"] == 20
    assert set(status["steps"]) == STEP_STATES
    assert status["steps"]["failed"] == 1
    assert status["steps"]["succeeded"] == 1
    assert status["validation"]["passed"] is False
    (failure,) = [each for each in status["failures"] if each["phase"] == "analytics"]
    assert failure["dates"] == [DATE]
    assert "rows missing" in failure["reason"]
    assert failure["retry"].endswith(f"--phase analytics --dates {DATE}")

    # And the final validation was made once
    run_id = done.json["run_id"]
    assert finalized(sandbox, run_id) == 1

    # When the fault is gone, the command that it named completes the repair
    sandbox.fault({})
    retried = sandbox.planner(*failure["retry"].split()[1:], "--wait")
    assert retried.code == 0, retried.err
    assert sandbox.differences() == []


@pytest.mark.slow
def test_later_phases_of_a_failed_date_are_blocked(fleet: Sandbox) -> None:
    # Given a date that is missing from analytics on, in two chunks' distance of another
    tables = [name for name in fleet.tables if not name.startswith("nba_raw.")]
    for table in tables:
        fleet.run_sql(DELETE.format(table=table), day=day_of(DATE))
        fleet.run_sql(DELETE.format(table=table), day=day_of("2021-11-10"))
    fleet.fault({"analytics": {DATE: "nothing"}})

    # When a script says that it succeeded, and wrote nothing
    done = fleet.planner(
        "enqueue", "--gaps", "--wait", "--yes", "--no-cascade", "--chunk-dates", "1", "--json"
    )

    # Then the recount tells, its later phases are blocked, and the other chunk is complete
    assert done.code == 4, done.err
    status = done.json["status"]
    assert status["steps"]["failed"] == 1
    assert status["steps"]["blocked"] == 3
    assert status["steps"]["succeeded"] == 4
    blocked = {each["phase"]: each for each in status["failures"] if each["phase"] != "analytics"}
    assert set(blocked) == {"precompute", "predictions", "grading"}
    assert "after analytics" in blocked["grading"]["reason"]

    # And when the script does its work again, a retry completes the repair
    fleet.fault({})
    retried = fleet.planner("retry", done.json["run_id"], "--wait")
    assert retried.code == 0, retried.err
    assert fleet.differences() == []


@pytest.mark.slow
def test_a_date_that_was_computed_from_a_repaired_one_is_computed_again(fleet: Sandbox) -> None:
    # Given precompute rows that were computed without a date of analytics
    fleet.run_sql(DELETE.format(table=ANALYTICS), day=day_of("2021-11-24"))
    fleet.run_sql(
        "MERGE nba_precompute.player_daily_cache USING (SELECT * REPLACE (0 AS games_in_sample) "
        "FROM nba_precompute.player_daily_cache WHERE game_date = @day) ON FALSE "
        "WHEN NOT MATCHED BY SOURCE AND game_date = @day THEN DELETE "
        "WHEN NOT MATCHED BY TARGET THEN INSERT ROW",
        day=day_of("2021-11-26"),
    )
    assert fleet.differences()

    # When the gap is repaired, although no count shows the wrong rows
    done = fleet.planner("enqueue", "--gaps", "--wait", "--yes")

    # Then they are right
    assert done.code == 0, done.err
    assert fleet.differences() == []


@pytest.mark.slow
def test_what_is_in_flight_is_left_to_the_run_that_holds_it(fleet: Sandbox) -> None:
    # Given a run that was just sent
    fleet.run_sql(DELETE.format(table=PREDICTIONS), day=day_of(DATE))
    first = fleet.planner("enqueue", "--gaps", "--json")
    assert first.code == 0, first.err
    held = {(step["phase"], c["dates"][0]) for c in first.json["chunks"] for step in c["steps"]}
    assert held == {("predictions", DATE), ("grading", DATE)}

    # When the same is enqueued at once
    second = fleet.planner("enqueue", "--gaps", "--json")

    # Then nothing is done twice, and it says who does it (unless it has been done meanwhile)
    assert second.code == 0
    assert second.json["run_id"] is None
    for left in second.json["skipped"]:
        if left["reason"] != "open":  # today, in a season that goes on
            assert left["run_id"] == first.json["run_id"]
            assert left["reason"] == "in_flight"

    # And the first run completes
    assert fleet.planner("watch", first.json["run_id"]).code == 0
    assert fleet.differences() == []


@pytest.mark.slow
def test_a_plan_file_is_what_is_run(fleet: Sandbox, tmp_path: Path) -> None:
    # Given a plan of two chunks in a file
    for day in ("2021-11-10", DATE):
        fleet.run_sql(DELETE.format(table=PREDICTIONS), day=day_of(day))
    assert fleet.differences()
    plan = tmp_path / "plan.json"
    made = fleet.planner("plan", "--chunk-dates", "1", "--out", str(plan), "--json")
    assert made.code == 0, made.err
    assert len(made.json["chunks"]) == 2
    assert made.json["steps_total"] == sum(len(c["steps"]) for c in made.json["chunks"])

    # When it is enqueued
    done = fleet.planner("enqueue", "--plan", str(plan), "--wait", "--yes")

    # Then its run repairs what it says
    assert done.code == 0, done.err
    assert fleet.differences() == []

    # And an edited plan is refused
    content = json.loads(plan.read_text())
    content["chunks"] = content["chunks"][:1]
    plan.write_text(json.dumps(content))
    refused = fleet.planner("enqueue", "--plan", str(plan))
    assert refused.code == 2
    assert "was edited" in refused.err


@pytest.mark.slow
def test_runs_status_and_report_speak_of_a_run(fleet: Sandbox) -> None:
    fleet.run_sql(DELETE.format(table=PREDICTIONS), day=day_of(DATE))
    done = fleet.planner(
        "enqueue", "--gaps", "--wait", "--yes", "--json", "--reason", "a test of <b>reports</b>"
    )
    run_id = done.json["run_id"]

    listed = fleet.planner("runs", "--json").json["runs"]
    assert [each["state"] for each in listed if each["run_id"] == run_id] == ["complete"]
    assert {each["state"] for each in listed if each["run_id"] != run_id} <= ENDED

    status = fleet.planner("status", run_id, "--json")
    assert status.code == 0
    assert status.json["state"] == "complete"
    assert status.json["failures"] == []
    assert status.json["steps"]["succeeded"] == done.json["steps_total"]

    report = fleet.planner("report", run_id)
    assert f"# Backfill {run_id}: complete" in report.out
    assert "**Passed**" in report.out
    assert "| planned |" in report.out
    assert (fleet.settings.home_dir / "reports" / run_id / "report.json").is_file()

    unknown = fleet.planner("status", "run-unknown")
    assert unknown.code == 2
    assert "planner runs" in unknown.err


def test_without_a_fleet_it_says_what_to_start(sandbox: Sandbox) -> None:
    done = sandbox.planner("enqueue", "--gaps")

    assert done.code == 3
    assert "planner up" in done.err


def test_a_warehouse_error_is_an_error_and_never_a_gap(
    make_sandbox: Callable[..., Sandbox], tmp_path: Path
) -> None:
    sandbox = make_sandbox()
    table = tmp_path / "warehouse" / "nba_precompute" / "ml_feature_store"
    table.rename(tmp_path / "elsewhere")

    done = sandbox.planner("gaps", "--json")

    assert done.code == 3
    assert done.out == ""
    assert "ml_feature_store" in done.err


def day_of(text: str) -> object:
    from datetime import date

    return date.fromisoformat(text)


def finalized(sandbox: Sandbox, run_id: str) -> int:
    """How often the workers finalized a run to its end."""
    logs = (sandbox.settings.home_dir / "logs").glob("worker-*.log")
    lines = [line for log in logs for line in log.read_text().splitlines()]
    return sum("finalize" in line and "succeeded" in line for line in lines)
