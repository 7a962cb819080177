"""Steps on a real Redis and a real warehouse, visited by hand: any order, any number of times."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import redis
from typer.testing import CliRunner

from planner.cli import app
from planner.commands.runs import status_json
from planner.commands.watch import drift_warning
from planner.errors import BadPlan
from planner.estimate import PhaseEstimate
from planner.gaps import Health, Reason
from planner.markdown import render_markdown
from planner.page import render_page
from planner.pipeline import Window, load_pipeline
from planner.plan import Plan
from planner.report import Report
from planner.sandbox.compare import differences
from planner.sandbox.fleet import environment_of
from planner.settings import Settings
from planner.survey import survey
from sql import load, open_warehouse
from tests.waiting import until
from worker import attempt, control, steps
from worker import enqueue as enqueue_module
from worker.budget import spent, table_key
from worker.enqueue import Wanted, owed_now, plan_gaps, require_now
from worker.finalize import finalize
from worker.fleet import Fleet
from worker.forecast import Outlook, history, outlook
from worker.lease import Lease, Resource
from worker.ledger import Ledger, Started, StillHeld
from worker.orders import Orders
from worker.runners import Job, Outcome, Runner, TooLarge
from worker.slots import sign_off, sign_on
from worker.states import DateState, RunState, StepState
from worker.steps import Again, StepFailed

PIPELINE = load_pipeline("sales")
SCOPE = Window(start=date(2025, 3, 3), end=date(2025, 4, 11))
TABLES = [spec.table for phase in PIPELINE.phases for spec in phase.tables]
RUN = "run-of-this-test"
TOUCH = """
MERGE shop_raw.orders USING (SELECT * FROM shop_raw.orders WHERE order_date = @day) ON FALSE
WHEN NOT MATCHED BY SOURCE AND order_date = @day THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT ROW
"""
DELETE = "DELETE FROM {table} WHERE {column} = @day"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("steps") / "whole"
    warehouse = open_warehouse(f"local:{folder}")
    span = {"start_date": SCOPE.start, "end_date": SCOPE.end}
    for table in TABLES:
        warehouse.run(load(f"sales/create/{table.name.partition('.')[2]}"), {})
    orders = Path(__file__).with_name("sales_orders.sql").read_text(encoding="utf-8")
    warehouse.run(orders, span)
    warehouse.run(load("sales/sessions"), span)
    warehouse.run(load("sales/store_daily"), span)
    warehouse.close()
    return folder


class Shop:
    """A broken warehouse, a ledger, and nobody who works but the test."""

    def __init__(self, folder: Path, whole: Path, redis_url: str) -> None:
        self.whole = whole
        settings = Settings(
            _env_file=None,  # type: ignore[call-arg]
            warehouse=f"local:{folder / 'warehouse'}",
            pipeline="sales",
            broker_url=redis_url,
            home=folder / "home",
            poll_max_seconds=0.05,
        )
        self.fleet = Fleet(settings, patient=False)
        self.ledger = self.fleet.ledger

    def lose(self, table: str, column: str, *days: date) -> None:
        for day in days:
            self.fleet.warehouse.run(DELETE.format(table=table, column=column), {"day": day})

    def lose_sessions(self, *days: date) -> None:
        self.lose("shop_analytics.sessions", "order_date", *days)

    def plan(self, *, chunk_dates: int = 1, with_estimate: bool = False) -> Plan:
        health = survey(self.fleet.warehouse, PIPELINE, SCOPE)
        wanted = Wanted(scope=SCOPE, phases=["sessionise", "aggregate"], chunk_dates=chunk_dates)
        return plan_gaps(
            self.fleet, health, wanted, ledger=self.ledger, with_estimate=with_estimate
        )

    def register(self, plan: Plan, run_id: str = RUN) -> list[str]:
        self.ledger.register(run_id, plan)
        self.ledger.move(run_id, RunState.RUNNING, [RunState.INCOMPLETE])
        return [step_id for step_id, _ in plan.steps()]

    def visit(self, step_id: str) -> str:
        return steps.visit(self.fleet, RUN, step_id, worker="me")

    def states(self) -> dict[str, StepState]:
        return self.ledger.steps(RUN)

    def differences(self) -> list[object]:
        return [*differences(open_warehouse(f"local:{self.whole}"), self.fleet.warehouse, TABLES)]


@pytest.fixture
def shop(whole: Path, tmp_path: Path, client: redis.Redis, redis_settings: Settings) -> Shop:
    shutil.copytree(whole, tmp_path / "warehouse")
    return Shop(tmp_path, whole, redis_settings.redis_url)


def day(number: int) -> date:
    """A day on which all stores are open."""
    return date(2025, 3, number)


@pytest.mark.parametrize("seed", range(4))
def test_any_order_any_number_of_times(shop: Shop, seed: int) -> None:
    # Given holes, and a plan with their cascade
    rng = random.Random(seed)
    shop.lose_sessions(*(day(n) for n in rng.sample([4, 5, 6, 7, 11, 12, 13, 14], 3)))
    shop.lose("shop_reports.store_daily", "report_date", day(20), day(21))
    plan = shop.plan(chunk_dates=rng.choice([1, 2, 5]))
    assert any(task.reason is Reason.CASCADE for _, s in plan.steps() for task in s.tasks)
    ids = shop.register(plan)

    # When messages come in any order, and more than once
    visits = 0
    while any(state is StepState.PENDING for state in shop.states().values()):
        visits += 1
        assert visits < 2000
        try:
            shop.visit(rng.choice(ids))
        except Again:
            continue

    # Then every step was done once, and the warehouse is the one built in one piece
    records = shop.ledger.step_records(RUN, ids)
    assert {record.state for record in records} == {StepState.SUCCEEDED}
    assert {record.attempt for record in records} == {1}
    assert shop.differences() == []
    assert finalize(shop.fleet, RUN) == "complete"


def test_a_step_waits_for_its_lookback_window(shop: Shop) -> None:
    shop.lose_sessions(day(11))
    ids = shop.register(shop.plan())
    later = next(i for i in ids if i == f"{day(13)}/aggregate")

    with pytest.raises(Again):
        shop.visit(later)
    assert shop.states()[later] is StepState.PENDING

    assert shop.visit(f"{day(11)}/sessionise") == "succeeded"
    assert shop.visit(later) == "succeeded"


def test_a_step_that_is_delivered_again_says_how_it_ended(shop: Shop) -> None:
    shop.lose_sessions(day(11))
    shop.register(shop.plan())
    step = f"{day(11)}/sessionise"

    assert shop.visit(step) == "succeeded"
    assert shop.visit(step) == "succeeded"

    assert shop.ledger.step(RUN, step).attempt == 1


def test_what_is_computed_from_a_failure_is_blocked(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a step that cannot succeed
    shop.lose_sessions(day(11))
    ids = shop.register(shop.plan())
    shop.fleet.warehouse.run(
        "DELETE FROM shop_raw.orders WHERE order_date = @day", {"day": day(11)}
    )
    monkeypatch.setattr(steps, "decide", lambda *a, **k: steps.GiveUp(why="at once"))

    # When it fails
    with pytest.raises(StepFailed, match="rows missing"):
        shop.visit(f"{day(11)}/sessionise")
    with pytest.raises(StepFailed, match="rows missing"):
        shop.visit(f"{day(11)}/sessionise")  # delivered again

    # Then its chunk's next step is blocked at once, and others when their message comes
    assert shop.states()[f"{day(11)}/aggregate"] is StepState.BLOCKED
    for step in ids:
        with pytest.raises(StepFailed):
            shop.visit(step)
    assert set(shop.states().values()) == {StepState.FAILED, StepState.BLOCKED}

    # And the run has failed, and still owes what it could not recompute
    assert finalize(shop.fleet, RUN) == "failed"
    run = shop.ledger.require(RUN)
    assert run.validation is not None
    assert run.validation["passed"] is False


def test_missing_rows_are_tried_again_then_given_up(shop: Shop) -> None:
    shop.lose_sessions(day(11))
    shop.register(shop.plan())
    shop.fleet.warehouse.run(
        "DELETE FROM shop_raw.orders WHERE order_date = @day", {"day": day(11)}
    )
    step = f"{day(11)}/sessionise"
    retries = PIPELINE.by_name["sessionise"].retries

    for failures in range(1, retries + 1):
        with pytest.raises(Again):
            shop.visit(step)
        record = shop.ledger.step(RUN, step)
        assert (record.state, record.failures) == (StepState.PENDING, failures)
    with pytest.raises(StepFailed):
        shop.visit(step)
    assert shop.states()[step] is StepState.FAILED


def test_a_step_that_kills_its_workers_is_given_up(shop: Shop) -> None:
    shop.lose_sessions(day(11))
    shop.register(shop.plan())
    step = f"{day(11)}/sessionise"
    shop.ledger.client.hset(f"backfill:run:{RUN}:step:{step}", "crashes", steps.CRASHES_MAX)

    with pytest.raises(StepFailed, match="workers died"):
        shop.visit(step)


def test_a_run_that_is_not_wholly_published_is_left_alone(shop: Shop) -> None:
    shop.lose_sessions(day(11))
    shop.ledger.register(RUN, shop.plan())

    with pytest.raises(Again):
        shop.visit(f"{day(11)}/sessionise")

    assert shop.ledger.require(RUN).state is RunState.INCOMPLETE
    assert set(shop.states().values()) == {StepState.PENDING}


def test_a_forgotten_run_is_left_alone(shop: Shop) -> None:
    shop.lose_sessions(day(11))
    shop.register(shop.plan())
    shop.ledger.client.flushall()

    assert shop.visit(f"{day(11)}/sessionise") == "forgotten"
    assert finalize(shop.fleet, RUN) == "forgotten"


def test_two_runs_never_hold_one_date(shop: Shop) -> None:
    shop.lose_sessions(day(11))
    plan = shop.plan()
    shop.register(plan)

    with pytest.raises(StillHeld) as held:
        shop.ledger.register("another-run", plan)

    assert set(held.value.held.values()) == {RUN}
    assert shop.ledger.run("another-run") is None
    assert shop.plan().is_empty  # a plan made now leaves them to the run that holds them


def test_finalization_happens_once_and_frees_the_dates(shop: Shop) -> None:
    shop.lose_sessions(day(11))
    ids = shop.register(shop.plan())

    with pytest.raises(Again):  # steps are still to settle
        finalize(shop.fleet, RUN)
    drain(shop, ids)
    assert finalize(shop.fleet, RUN) == "complete"
    assert shop.ledger.held("sales") == {}
    report = shop.ledger.report(RUN)

    assert finalize(shop.fleet, RUN) == "complete"
    assert shop.ledger.report(RUN) == report


def test_what_a_lost_run_owes_is_in_the_next_plan(shop: Shop) -> None:
    # Given a run that repaired a date and came to none of its cascade
    from worker.enqueue import _note_owed

    shop.lose_sessions(day(11))
    plan = shop.plan()
    _note_owed(shop.fleet, RUN, plan)
    shop.register(plan)
    assert shop.visit(f"{day(11)}/sessionise") == "succeeded"

    # When Redis forgets everything
    shop.ledger.client.flushall()

    # Then the next plan recomputes what no count shows
    again = shop.plan()
    taken = {(s.phase, t.date, t.reason) for _, s in again.steps() for t in s.tasks}
    assert taken == {("aggregate", d, Reason.CASCADE) for d in plan.again["aggregate"]}

    # And what the ledger saw recomputed is not owed
    ids = shop.register(again)
    drain(shop, ids)
    assert all(s is DateState.DONE for s in shop.ledger.all_dates(RUN).values())
    assert finalize(shop.fleet, RUN) == "complete"
    assert owed_now(shop.fleet, shop.ledger) == []
    assert shop.differences() == []


def test_crashes_are_counted_apart_from_failures_and_anew_after_a_retry(shop: Shop) -> None:
    # Given a step that two workers began and never ended
    shop.lose_sessions(day(11))
    shop.register(shop.plan())
    step = f"{day(11)}/sessionise"

    begun = [shop.ledger.start(RUN, step, token=str(n), worker="dead") for n in range(3)]

    # Then the third knows of two; a failure or a step that is handed back is no crash
    assert [each.crashes for each in begun if isinstance(each, Started)] == [0, 1, 2]
    shop.ledger.finish(RUN, step, token="2", state=StepState.PENDING)
    again = shop.ledger.start(RUN, step, token="3", worker="me")
    assert isinstance(again, Started)
    assert again.crashes == 2
    assert shop.ledger.step(RUN, step).attempt == 4

    # And a retry by hand counts from none
    shop.ledger.finish(RUN, step, token="3", state=StepState.FAILED)
    shop.ledger.conclude(RUN, RunState.FAILED, {}, report="{}")
    shop.ledger.reopen(RUN, [("sessionise", day(11))], [step])
    shop.ledger.move(RUN, RunState.RUNNING, [RunState.INCOMPLETE])
    anew = shop.ledger.start(RUN, step, token="4", worker="me")
    assert isinstance(anew, Started)
    assert anew.crashes == 0
    assert shop.ledger.step(RUN, step).attempt == 5


def test_a_mistake_of_ours_is_a_failed_attempt_that_is_told_of(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.lose_sessions(day(11))
    step = shop.register(shop.plan())[0]

    def mistaken(*arguments: Any) -> None:
        raise KeyError("nobody thought of it")

    monkeypatch.setattr(attempt, "runner_for", mistaken)
    with pytest.raises(Again):
        shop.visit(step)

    record = shop.ledger.step(RUN, step)
    assert (record.state, record.failures, record.attempt) == (StepState.PENDING, 1, 1)
    assert "KeyError: 'nobody thought of it'" in record.error


def test_a_holder_that_lost_its_lease_records_nothing(shop: Shop) -> None:
    shop.lose_sessions(day(11))
    shop.register(shop.plan())
    step = f"{day(11)}/sessionise"
    shop.ledger.start(RUN, step, token="old", worker="frozen")
    shop.ledger.start(RUN, step, token="new", worker="me")

    dates = {("sessionise", day(11)): DateState.FAILED}
    kept = shop.ledger.finish(RUN, step, token="old", state=StepState.FAILED, dates=dates)

    assert kept is False
    assert shop.states()[step] is StepState.RUNNING
    assert shop.ledger.all_dates(RUN)["sessionise", day(11)] is DateState.PENDING


def test_a_run_is_ended_once_with_one_report(shop: Shop) -> None:
    shop.lose_sessions(day(11))
    shop.register(shop.plan())

    ends = [shop.ledger.conclude(RUN, RunState.FAILED, {}, report=f'"{n}"') for n in range(3)]

    assert ends == [True, False, False]
    assert shop.ledger.report(RUN) == '"0"'
    assert shop.ledger.require(RUN).endings == 1


# -- the deadline --------------------------------------------------------------------------------


def pass_deadline(shop: Shop) -> None:
    """Let the deadline be now, by the clock of Redis."""
    now, _ = shop.ledger.client.time()
    shop.ledger.client.hset(f"backfill:run:{RUN}", "deadline", now)


def test_a_run_past_its_deadline_starts_nothing_and_reports_what_is_there(shop: Shop) -> None:
    # Given a run with a deadline, one of its steps done
    shop.lose_sessions(day(11))
    plan = shop.plan()
    shop.ledger.register(RUN, plan, Orders(deadline_seconds=3600))
    shop.ledger.move(RUN, RunState.RUNNING, [RunState.INCOMPLETE])
    ids = [step_id for step_id, _ in plan.steps()]
    now, _ = shop.ledger.client.time()
    deadline = shop.ledger.require(RUN).deadline
    assert deadline is not None
    assert 3590 < deadline - now <= 3600
    assert shop.visit(f"{day(11)}/sessionise") == "succeeded"

    # When it passes
    pass_deadline(shop)

    # Then whoever looks sees the run being cancelled, and every step that is left settles
    assert shop.ledger.require(RUN).state is RunState.CANCELLING
    drain(shop, ids)
    assert shop.states()[f"{day(11)}/sessionise"] is StepState.SUCCEEDED
    assert set(shop.states().values()) == {StepState.SUCCEEDED, StepState.CANCELLED}

    # And its end says why
    assert finalize(shop.fleet, RUN) == "cancelled"
    record = shop.ledger.require(RUN)
    assert record.stopped_by == "deadline"
    shown = status_json(shop.fleet, record)
    assert (shown["state"], shown["stopped_by"]) == ("cancelled", "deadline")
    assert {failure["reason"] for failure in shown["failures"]} == {"the run's deadline passed"}
    report = json.loads(shop.ledger.report(RUN) or "")
    assert {failure["reason"] for failure in report["failures"]} == {"the run's deadline passed"}


@pytest.mark.parametrize("state", [RunState.PAUSED, RunState.INCOMPLETE])
def test_a_deadline_ends_runs_that_stand_still_too(shop: Shop, state: RunState) -> None:
    shop.lose_sessions(day(11))
    shop.ledger.register(RUN, shop.plan(), Orders(deadline_seconds=3600))
    shop.ledger.move(RUN, state, [RunState.INCOMPLETE])
    assert shop.ledger.require(RUN).state is state

    pass_deadline(shop)

    assert shop.ledger.require(RUN).state is RunState.CANCELLING
    with pytest.raises(StepFailed, match="cancelled"):
        shop.visit(f"{day(11)}/sessionise")


def test_a_step_at_work_is_stopped_at_the_deadline(shop: Shop) -> None:
    shop.lose_sessions(day(11))
    shop.register(shop.plan())
    lease = Lease(shop.ledger.client, [Resource(name="a")], seconds=1)
    assert lease.acquire() is None
    stop = steps._Stop(shop.fleet, RUN, lease)
    with lease:
        assert stop() is None
        pass_deadline(shop)
        until(lambda: stop() is not None)
    assert stop() == stop.CANCELLED
    lease.release()


def test_a_retry_after_the_deadline_has_none_or_a_new_one(shop: Shop) -> None:
    shop.lose_sessions(day(11))
    shop.ledger.register(RUN, shop.plan(), Orders(deadline_seconds=3600))
    pass_deadline(shop)
    shop.ledger.require(RUN)
    shop.ledger.conclude(RUN, RunState.CANCELLED, {}, report="{}")
    step = f"{day(11)}/sessionise"

    shop.ledger.reopen(RUN, [("sessionise", day(11))], [step])
    assert (shop.ledger.require(RUN).deadline, shop.ledger.require(RUN).stopped_by) == (None, "")
    assert shop.ledger.require(RUN).state is RunState.INCOMPLETE

    shop.ledger.conclude(RUN, RunState.CANCELLED, {}, report="{}")


# -- a planner that dies -------------------------------------------------------------------------

DIES = """
import os, signal, sys
from planner.cli import main
from worker import enqueue
from worker.ledger import Ledger

def die(*arguments, **options):
    os.kill(os.getpid(), signal.SIGKILL)

where = {
    "before it registers": (Ledger, "register"),
    "before it hands over": (enqueue, "_hand_over"),
    "before it publishes": (enqueue, "publish_steps"),
    "before it says so": (Ledger, "move"),
}
setattr(*where[sys.argv.pop(1)], die)
main()
"""


@pytest.mark.parametrize(
    "moment",
    ["before it registers", "before it hands over", "before it publishes", "before it says so"],
)
def test_a_planner_that_is_killed_leaves_nothing_or_an_incomplete_run(
    shop: Shop, moment: str
) -> None:
    # Given a planner that is killed, between what it writes down and what it sends
    shop.lose_sessions(day(11))
    wanted = {(step.phase, step.dates) for _, step in shop.plan().steps()}
    options = ["enqueue", "--gaps", "--json", "--start", str(SCOPE.start), "--end", str(SCOPE.end)]
    done = subprocess.run(
        [sys.executable, "-c", DIES, moment, *options, "--chunk-dates", "1"],
        env={**os.environ, **environment_of(shop.fleet.settings)},
        cwd=shop.fleet.settings.home_dir.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -9, done.stderr
    assert done.stdout == ""

    # Then there is no run, or one that is incomplete, has begun nothing, and can be resumed
    runs = shop.ledger.runs()
    if moment == "before it registers":
        assert runs == []
        assert shop.ledger.held("sales") == {}
        run_id = RUN
        plan = shop.plan()
        enqueue_module._note_owed(shop.fleet, run_id, plan)
        shop.register(plan)
        taken = {(step.phase, d) for _, step in plan.steps() for d in step.dates}
        enqueue_module._hand_over(shop.fleet, run_id, taken)
    else:
        (run,) = runs
        run_id = run.id
        assert run.state is RunState.INCOMPLETE
        assert set(shop.ledger.steps(run_id).values()) == {StepState.PENDING}
        assert shop.plan().is_empty
        assert {skipped.run_id for skipped in shop.plan().skipped} == {run_id}
        control.resume(shop.fleet, run_id)

    # And that one repairs everything, and owes nothing afterwards
    found = shop.fleet.plan(run_id)
    assert found is not None
    assert {(step.phase, step.dates) for _, step in found.steps()} == wanted
    drain(shop, [step_id for step_id, _ in found.steps()], run_id)
    assert finalize(shop.fleet, run_id) == "complete"
    assert shop.differences() == []
    assert owed_now(shop.fleet, None) == []


# -- a plan that was made before -----------------------------------------------------------------


def now(shop: Shop) -> Health:
    return survey(shop.fleet.warehouse, PIPELINE, SCOPE)


def changed(shop: Shop, plan: Plan) -> str:
    """Why a plan is refused now; empty when it is not."""
    try:
        require_now(shop.fleet, plan, now(shop))
    except BadPlan as error:
        return str(error)
    return ""


def test_a_plan_is_good_as_long_as_the_warehouse_is_as_it_was(shop: Shop) -> None:
    shop.lose_sessions(day(11), day(12))
    plan = shop.plan()

    assert any(task.reason is Reason.CASCADE for _, s in plan.steps() for task in s.tasks)
    assert changed(shop, plan) == ""


def test_a_plan_is_refused_when_a_date_is_complete_by_now(shop: Shop) -> None:
    shop.lose_sessions(day(11), day(12))
    plan = shop.plan()
    span = {"start_date": day(12), "end_date": day(12)}
    shop.fleet.warehouse.run(load("sales/sessions"), span)

    assert f"sessionise {day(12)} is complete now" in changed(shop, plan)
    assert "Make a new plan" in changed(shop, plan)


def test_a_plan_file_that_is_out_of_date_publishes_nothing(shop: Shop, tmp_path: Path) -> None:
    shop.lose_sessions(day(11))
    file = tmp_path / "plan.json"
    file.write_text(shop.plan().model_dump_json())
    shop.fleet.warehouse.run(load("sales/sessions"), {"start_date": day(11), "end_date": day(11)})

    done = subprocess.run(
        [sys.executable, "-m", "planner", "enqueue", "--plan", str(file)],
        env={**os.environ, **environment_of(shop.fleet.settings)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    assert f"the warehouse has changed since: sessionise {day(11)} is complete now" in done.stderr
    assert shop.ledger.runs() == []


def test_a_plan_is_refused_when_what_it_needs_is_gone(shop: Shop) -> None:
    # Given a plan of reports, made when all sessions were there
    shop.lose("shop_reports.store_daily", "report_date", day(20))
    plan = shop.plan()
    assert {step.phase for _, step in plan.steps()} == {"aggregate"}

    # When sessions of its week are lost
    shop.lose_sessions(day(18))

    assert f"needs sessionise {day(18)}, which is short now" in changed(shop, plan)


def test_a_plan_is_refused_when_its_source_has_gone_or_changed(shop: Shop) -> None:
    shop.lose_sessions(day(11))
    plan = shop.plan()
    one = "DELETE FROM shop_raw.orders WHERE order_date = @day AND store_id = 1"
    shop.fleet.warehouse.run(one, {"day": day(11)})
    assert "should hold" in changed(shop, plan)

    shop.lose("shop_raw.orders", "order_date", day(11))
    assert f"sessionise {day(11)} is off_day now" in changed(shop, plan)


def test_a_plan_is_refused_while_another_run_is_at_its_dates(shop: Shop) -> None:
    shop.lose_sessions(day(11))
    plan = shop.plan()
    shop.register(plan)

    assert f"{RUN} is repairing some of its dates" in changed(shop, plan)


# -- estimates -----------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["files", "ledger"])
def test_a_plan_foresees_what_the_last_run_took(shop: Shop, where: str) -> None:
    # Given a pipeline file without figures, nobody at work, and a run that has ended
    shop.lose_sessions(day(11))
    first = shop.plan(with_estimate=True)
    assert first.estimate is not None
    assert (first.estimate.seconds, first.estimate.slots_are_assumed) == (None, True)
    assert first.estimate.unknown == ("sessionise", "aggregate")
    drain(shop, shop.register(first))
    assert finalize(shop.fleet, RUN) == "complete"
    if where == "files":
        shop.ledger.client.flushall()
    else:
        shutil.rmtree(shop.fleet.settings.folder("reports"))

    # When the same is to do, and two workers are there, one of them dead
    sign_on(shop.ledger.client, "here", 3, seconds=60)
    sign_on(shop.ledger.client, "dead", 5, seconds=-1)
    sign_on(shop.ledger.client, "leaving", 7, seconds=60)
    sign_off(shop.ledger.client, "leaving", 7)
    shop.lose_sessions(day(11))
    made = shop.plan(with_estimate=True).estimate

    # Then it is estimated by what the steps took
    assert made is not None
    assert (made.runs, made.slots, made.slots_are_assumed) == (1, 3, False)
    assert {phase.source for phase in made.phases.values()} == {"runs"}
    assert made.seconds is not None
    assert made.worst_seconds is not None
    assert 0 < made.seconds <= made.worst_seconds < 60


def test_runs_of_other_warehouses_and_broken_reports_say_nothing(shop: Shop) -> None:
    shop.lose_sessions(day(11))
    drain(shop, shop.register(shop.plan()))
    finalize(shop.fleet, RUN)
    path = shop.fleet.settings.folder("reports") / RUN / "report.json"
    text = path.read_text()
    shop.ledger.client.flushall()

    path.write_text(text.replace(shop.fleet.warehouse.name, "local:/elsewhere"))
    assert history(shop.fleet, None).runs == 0
    path.write_text(text[:-20])
    assert history(shop.fleet, None).runs == 0
    path.write_text(text)
    assert history(shop.fleet, None).runs == 1


def test_a_run_that_takes_far_longer_than_planned_drifts(shop: Shop) -> None:
    # Given a run of four chunks whose plan foresaw a second a date
    shop.lose_sessions(day(11))
    bare = shop.plan(with_estimate=True)
    assert bare.estimate is not None
    phases = {
        name: PhaseEstimate(
            steps=9,
            dates=10,
            seconds_per_date=1,
            slow_seconds_per_date=1,
            seconds=10,
            slow_seconds=10,
            source="file",
        )
        for name in ("sessionise", "aggregate")
    }
    update = {"phases": phases, "seconds": 8.0}
    foreseen = bare.estimate.model_copy(update=update)
    ids = shop.register(bare.model_copy(update={"estimate": foreseen}).sealed())

    def now() -> Outlook:
        records = shop.ledger.step_records(RUN, ids)
        return outlook(shop.fleet, shop.ledger.require(RUN), records)

    # At first it is as planned: every step a second, one after the other
    assert (now().planned, now().left, now().drifts) == (8.0, pytest.approx(len(ids)), False)

    # When steps take a minute each, it is corrected by the run's own pace, from three on
    real = [shop.visit(each) for each in ids[:4]]
    assert real == ["succeeded"] * 4
    aggregates = [each for each in ids[:4] if each.endswith("aggregate")]
    assert len(aggregates) == 3
    for each in aggregates:
        shop.ledger.client.hset(f"backfill:run:{RUN}:step:{each}", "worked", 60)
    assert now().left == pytest.approx(60 * (len(ids) - 4))
    assert now().drifts
    assert "drifts" in drift_warning(shop.ledger.require(RUN), now())


# -- the run ledger in the warehouse -------------------------------------------------------


def keep_ledger(shop: Shop) -> None:
    settings = shop.fleet.settings.model_copy(update={"ledger_dataset": "ops"})
    shop.fleet.settings = settings


def ledger_rows(shop: Shop, what: str) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in shop.fleet.warehouse.rows(what, {})]


def test_a_run_is_written_into_the_ledger_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given gaps that were written down by a command, and one that the run does not take
    for name in ("warehouse", "pipeline", "home"):
        monkeypatch.setenv(f"BACKFILL_{name.upper()}", str(getattr(shop.fleet.settings, name)))
    monkeypatch.setenv("BACKFILL_LEDGER_DATASET", "ops")
    planner = CliRunner()
    assert "✗ run ledger" in planner.invoke(app, ["doctor"]).output
    assert planner.invoke(app, ["ledger", "--create"]).exit_code == 0
    assert planner.invoke(app, ["doctor"]).output.count("✓ run ledger: ops.") == 2
    keep_ledger(shop)
    shop.lose_sessions(day(11))
    span = ["--start", str(SCOPE.start), "--end", str(SCOPE.end)]
    assert planner.invoke(app, ["gaps", "--record", *span]).exit_code == 1
    gaps = "SELECT phase, date, status, run_id FROM ops.data_gaps WHERE reason = 'missing'"
    assert ledger_rows(shop, gaps) == [("sessionise", day(11), "open", "")]
    (detected,) = ledger_rows(shop, "SELECT detected FROM ops.data_gaps")

    # When a run takes them, and is finalized by two workers, of which one died before the end
    drain(shop, shop.register(shop.plan()))
    shop.lose("shop_reports.store_daily", "report_date", day(20))
    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "conclude", lambda *a, **k: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            finalize(shop.fleet, RUN)
    before = ledger_rows(shop, "SELECT * FROM ops.data_gaps ORDER BY phase, date")
    assert finalize(shop.fleet, RUN) == "complete"

    # Then it has one row, its gaps are healed, and the other is open
    assert ledger_rows(shop, "SELECT run_id, state FROM ops.backfill_runs") == [(RUN, "complete")]
    assert ledger_rows(shop, "SELECT * FROM ops.data_gaps ORDER BY phase, date") == before
    assert sorted(ledger_rows(shop, gaps)) == [
        ("aggregate", day(20), "open", ""),
        ("sessionise", day(11), "healed", RUN),
    ]
    first = "SELECT detected FROM ops.data_gaps WHERE phase = 'sessionise'"
    assert ledger_rows(shop, first) == [detected]
    healed = "SELECT COUNT(*) FROM ops.data_gaps WHERE reason = 'cascade' AND status = 'healed'"
    assert ledger_rows(shop, healed) == [(6,)]
    assert "note:" not in render_markdown(report_of(shop))


def test_a_ledger_that_cannot_be_written_is_a_note_and_no_failure(shop: Shop) -> None:
    # Given a dataset without the tables
    keep_ledger(shop)
    shop.lose_sessions(day(11))
    drain(shop, shop.register(shop.plan()))

    # When the run ends
    assert finalize(shop.fleet, RUN) == "complete"

    # Then the report says what is missing, and the warehouse has nothing of it
    (note,) = report_of(shop).notes
    assert "no table ops.backfill_runs" in note
    assert note in render_page(report_of(shop))
    assert f"note: {note[:20]}" in render_markdown(report_of(shop))


def report_of(shop: Shop) -> Report:
    return Report.model_validate_json(shop.ledger.report(RUN) or "")


# -- limits of a table -------------------------------------------------------------------------


def limit(shop: Shop, **limits: int) -> None:
    """Give the table of sessions limits, as a pipeline file does."""
    *rest, spec = (phase := shop.fleet.pipeline.by_name["sessionise"]).tables
    tables = (*rest, spec.model_copy(update=limits))
    limited = phase.model_copy(update={"tables": tables, "concurrency": 16})
    phases = [limited if each.name == phase.name else each for each in PIPELINE.phases]
    shop.fleet.__dict__["pipeline"] = PIPELINE.model_copy(update={"phases": tuple(phases)})
    shop.fleet.pipeline.__dict__.pop("by_name", None)


def test_a_table_has_so_many_writers_whichever_pipeline_they_are_of(shop: Shop) -> None:
    # Given a table that one may write at once, and somebody of another pipeline who does
    limit(shop, writers=1)
    shop.lose_sessions(day(11))
    ids = shop.register(shop.plan())
    table = table_key(shop.fleet.warehouse.name, "shop_analytics.sessions")
    other = Lease(shop.ledger.client, [Resource(name=f"writers:{table}")], seconds=30)
    assert other.acquire() is None

    # When a step of ours comes by, then it waits, holds nothing, and says for what
    with pytest.raises(Again):
        shop.visit(ids[0])
    record = shop.ledger.step(RUN, ids[0])
    assert (record.state, record.attempt) == (StepState.PENDING, 0)
    assert record.waiting == "a turn to write shop_analytics.sessions (1 at once)"

    # And it runs when the other is through
    other.release()
    assert shop.visit(ids[0]) == "succeeded"
    assert shop.ledger.step(RUN, ids[0]).waiting == ""


def test_a_step_beyond_the_budget_waits_until_there_is_room(shop: Shop) -> None:
    # Given a table that may be written three times a day, and four dates to write
    limit(shop, daily_writes=3)
    shop.lose_sessions(day(11), day(12), day(13), day(14))
    ids = [each for each in shop.register(shop.plan()) if each.endswith("sessionise")]
    for each in ids[:3]:
        assert shop.visit(each) == "succeeded"

    # When the last one comes by, as often as it likes
    for _ in range(3):
        with pytest.raises(Again):
            shop.visit(ids[3])

    # Then it waits, with no attempt and no retry spent, nothing held, and says for what
    record = shop.ledger.step(RUN, ids[3])
    assert (record.state, record.attempt, record.failures) == (StepState.PENDING, 0, 0)
    assert record.waiting == "room in the budget of shop_analytics.sessions (3 writes in 24 hours)"
    assert shop.ledger.client.keys("backfill:lease:sales:*") == []
    warehouse = shop.fleet.warehouse.name
    tables = ["shop_analytics.sessions"]
    assert spent(shop.ledger.client, warehouse, tables) == {tables[0]: 3}

    # And it runs when a day has passed
    shop.ledger.client.delete(f"backfill:budget:{table_key(warehouse, tables[0])}")
    assert shop.visit(ids[3]) == "succeeded"


def test_every_run_of_a_range_counts_also_of_its_halves(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a step of two dates, a service's limit of one, and a budget for three writes
    limit(shop, daily_writes=3)
    shop.lose_sessions(day(11), day(12))
    step = shop.register(shop.plan(chunk_dates=2))[0]
    ran: list[int] = []
    real = attempt.runner_for

    class OneAtOnce:
        def __init__(self, runner: Runner) -> None:
            self.runner = runner

        def run(self, job: Job) -> Outcome:
            ran.append(len(job.dates))
            return self.runner.run(job) if len(job.dates) == 1 else TooLarge(error="413")

    def choose(*arguments: Any) -> tuple[int, Runner]:
        which, runner = real(*arguments)
        return which, OneAtOnce(runner)

    monkeypatch.setattr(attempt, "runner_for", choose)

    # When it was too large, and one half has run
    with pytest.raises(Again):
        shop.visit(step)

    # Then two and one writes are counted, and the other half waits for its own
    assert ran == [2, 1]
    assert "room in the budget" in shop.ledger.step(RUN, step).waiting
    assert shop.ledger.step(RUN, step).failures == 0

    # And it alone is left to do
    shop.ledger.client.delete(*shop.ledger.client.keys("backfill:budget:*"))
    assert shop.visit(step) == "succeeded"
    assert ran == [2, 1, 1]


def test_a_range_never_costs_more_than_a_day_allows(shop: Shop) -> None:
    limit(shop, daily_writes=5, writes_per_date=2)
    shop.lose_sessions(day(11), day(12), day(13))
    step = shop.register(shop.plan(chunk_dates=3))[0]

    with pytest.raises(Again):  # two of three dates are affordable
        shop.visit(step)

    table = "shop_analytics.sessions"
    assert spent(shop.ledger.client, shop.fleet.warehouse.name, [table]) == {table: 4}


def test_only_work_is_counted_as_work(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a step that failed once, waited long, and succeeded
    shop.lose_sessions(day(11))
    step = shop.register(shop.plan())[0]
    real, fails = attempt.recount, [True]
    monkeypatch.setattr(
        attempt, "recount", lambda *a: {day(11): "rows missing"} if fails.pop() else real(*a)
    )
    with pytest.raises(Again):
        shop.visit(step)
    key = f"backfill:run:{RUN}:step:{step}"
    first = float(shop.ledger.client.hget(key, "worked"))
    assert first > 0
    shop.ledger.client.hset(key, "started", shop.ledger.step(RUN, step).started - 3600)
    fails.append(False)
    assert shop.visit(step) == "succeeded"

    # Then its work is that of both attempts, and not the hour between
    record = shop.ledger.step(RUN, step)
    assert record.ended - record.started > 3600
    assert first < record.worked < 60


def test_a_stale_date_that_a_plan_leaves_out_is_still_stale_in_its_report(shop: Shop) -> None:
    # Given orders of two dates that were written anew
    for each in (day(11), day(25)):
        shop.fleet.warehouse.run(TOUCH, {"day": each})

    # When a run takes one of them
    health = survey(shop.fleet.warehouse, PIPELINE, SCOPE, stale=True)
    wanted = Wanted(scope=SCOPE, phases=["sessionise", "aggregate"], limit=1)
    plan = plan_gaps(shop.fleet, health, wanted, ledger=shop.ledger)
    drain(shop, shop.register(plan))
    assert finalize(shop.fleet, RUN) == "complete"

    # Then its report shows both before, and the other after
    report = Report.model_validate_json(shop.ledger.report(RUN) or "")
    before, after = (
        list(each.days("sessionise", Reason.STALE))
        for each in (report.days_before, report.days_after)
    )
    assert (before, after) == ([day(11), day(25)], [day(25)])
    open_days = report.before["2025"]["sessionise"].expected
    assert report.before["2025"]["sessionise"].complete == open_days - 2
    assert report.after["2025"]["sessionise"].complete == open_days - 1
    assert shop.differences() == []


def drain(shop: Shop, ids: list[str], run_id: str = RUN) -> None:
    """Visit steps until all have settled."""
    for _ in range(50):
        for step in ids:
            try:
                steps.visit(shop.fleet, run_id, step, worker="me")
            except (Again, StepFailed):
                continue
        if StepState.PENDING not in shop.ledger.steps(run_id).values():
            return
    raise AssertionError("steps do not settle")
