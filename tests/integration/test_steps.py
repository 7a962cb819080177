"""Steps on a real Redis and a real warehouse, visited by hand: any order, any number of times."""

from __future__ import annotations

import os
import random
import signal
import time
from typing import Any, NoReturn

import pytest

from planner.gaps.gaps import GapReason
from planner.gaps.survey import survey
from planner.plan.states import DateState, RunState, StepState
from planner.report.report import Report
from planner.sandbox.workers import environment_of
from sql.local import LocalWarehouse
from tests.commands import python
from tests.integration.ledgers import end
from tests.integration.shop import EVE, LAST, PIPELINE, RUN, SCOPE, TOUCH, Shop, day, drain
from worker.finalization.finalize import finalize
from worker.ledger.record import RunEnding
from worker.ledger.runs import StillHeld
from worker.ledger.steps import Started
from worker.run.plan import Wanted, owed_now, plan_gaps
from worker.runners import Ran
from worker.step import attempt, visit
from worker.step.attempt import Attempt
from worker.step.errors import Requeue, StepFailed
from worker.step.recount import Recount


@pytest.mark.parametrize(
    "seed", [5, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4))]
)
def test_any_order_any_number_of_times(shop: Shop, seed: int) -> None:
    # Given holes, and a plan with their cascade
    rng = random.Random(seed)
    shop.lose_sessions(*(day(n) for n in rng.sample([4, 5, 6, 7, 11, 12, 13, 14], 3)))
    shop.lose("shop_reports.store_daily", "report_date", day(20), day(21))
    plan = shop.plan(chunk_dates=rng.choice([1, 2, 5]))
    assert any(task.reason is GapReason.CASCADE for _, s in plan.steps() for task in s.tasks)
    ids = shop.register(plan)

    # When messages come in any order, and more than once
    visits = 0
    while any(state is StepState.PENDING for state in shop.states().values()):
        visits += 1
        assert visits < 2000
        try:
            shop.visit(rng.choice(ids))
        except Requeue:
            continue

    # Then every step was done once, and the warehouse is the one built in one piece
    records = shop.ledger.step_records(RUN, ids)
    assert {record.state for record in records} == {StepState.SUCCEEDED}
    assert {record.attempt for record in records} == {1}
    assert shop.differences() == []
    assert finalize(shop.context, RUN) == "complete"


def test_a_step_waits_for_its_lookback_window(shop: Shop) -> None:
    shop.lose_sessions(day(11))
    ids = shop.register(shop.plan())
    later = next(i for i in ids if i == f"{day(13)}/aggregate")

    with pytest.raises(Requeue):
        shop.visit(later)
    assert shop.states()[later] is StepState.PENDING

    assert shop.visit(f"{day(11)}/sessionise") == "succeeded"
    assert shop.visit(later) == "succeeded"


def test_a_step_that_is_delivered_again_says_how_it_ended(shop: Shop) -> None:
    shop.lose_sessions(LAST)
    shop.register(shop.plan())
    step = f"{LAST}/sessionise"

    assert shop.visit(step) == "succeeded"
    assert shop.visit(step) == "succeeded"

    assert shop.ledger.step(RUN, step).attempt == 1


def writes_nothing(*_: object) -> int:
    """A statement that ends well, and writes no row."""
    return 0


def test_what_is_computed_from_a_failure_is_blocked(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a step that cannot succeed
    shop.lose_sessions(LAST)
    ids = shop.register(shop.plan())
    monkeypatch.setattr(LocalWarehouse, "run", writes_nothing)
    monkeypatch.setattr(visit, "decide", lambda *a, **k: None)

    # When it fails
    with pytest.raises(StepFailed, match="rows missing"):
        shop.visit(f"{LAST}/sessionise")
    with pytest.raises(StepFailed, match="rows missing"):
        shop.visit(f"{LAST}/sessionise")  # delivered again

    # Then its chunk's next step is blocked at once, and others when their message comes
    assert shop.states()[f"{LAST}/aggregate"] is StepState.BLOCKED
    for step in ids:
        with pytest.raises(StepFailed):
            shop.visit(step)
    assert set(shop.states().values()) == {StepState.FAILED, StepState.BLOCKED}

    # And the run has failed, and still owes what it could not recompute
    assert finalize(shop.context, RUN) == "failed"
    run = shop.ledger.require(RUN)
    assert run.validation is not None
    assert run.validation["passed"] is False


def test_missing_rows_are_tried_again_then_given_up(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.lose_sessions(LAST)
    shop.register(shop.plan())
    monkeypatch.setattr(LocalWarehouse, "run", writes_nothing)
    step = f"{LAST}/sessionise"
    retries = PIPELINE.by_name["sessionise"].retries

    for failures in range(1, retries + 1):
        with pytest.raises(Requeue):
            shop.visit(step)
        record = shop.ledger.step(RUN, step)
        assert (record.state, record.failures) == (StepState.PENDING, failures)
    with pytest.raises(StepFailed):
        shop.visit(step)
    assert shop.states()[step] is StepState.FAILED


def test_a_step_that_kills_its_workers_is_given_up(shop: Shop) -> None:
    shop.lose_sessions(LAST)
    shop.register(shop.plan())
    step = f"{LAST}/sessionise"
    shop.ledger.client.hset(f"backfill:run:{RUN}:step:{step}", "crashes", visit.CRASHES_MAX)

    with pytest.raises(StepFailed, match="workers died"):
        shop.visit(step)


def test_a_run_that_is_not_wholly_published_is_left_alone(shop: Shop) -> None:
    shop.lose_sessions(LAST)
    shop.ledger.register(RUN, shop.plan())

    with pytest.raises(Requeue):
        shop.visit(f"{LAST}/sessionise")

    assert shop.ledger.require(RUN).state is RunState.INCOMPLETE
    assert set(shop.states().values()) == {StepState.PENDING}


def test_a_forgotten_run_is_left_alone(shop: Shop) -> None:
    shop.lose_sessions(LAST)
    shop.register(shop.plan())
    shop.ledger.client.flushall()

    with pytest.raises(StepFailed, match="forgotten"):
        shop.visit(f"{LAST}/sessionise")
    assert finalize(shop.context, RUN) == "forgotten"


def test_two_runs_never_hold_one_date(shop: Shop) -> None:
    shop.lose_sessions(LAST)
    plan = shop.plan()
    shop.register(plan)

    with pytest.raises(StillHeld) as held:
        shop.ledger.register("another-run", plan)

    assert set(held.value.held.values()) == {RUN}
    assert shop.ledger.run("another-run") is None
    assert shop.plan().is_empty  # a plan made now leaves them to the run that holds them


@pytest.mark.slow
def test_finalization_happens_once_and_frees_the_dates(shop: Shop) -> None:
    shop.lose_sessions(LAST)
    ids = shop.register(shop.plan())

    with pytest.raises(Requeue):  # steps are still to settle
        finalize(shop.context, RUN)
    drain(shop, ids)
    assert finalize(shop.context, RUN) == "complete"
    assert shop.ledger.held("sales", shop.context.warehouse.identity) == {}
    report = shop.ledger.report(RUN)

    assert finalize(shop.context, RUN) == "complete"
    assert shop.ledger.report(RUN) == report


def test_what_a_lost_run_owes_is_in_the_next_plan(shop: Shop) -> None:
    # Given a run that repaired a date and came to none of its cascade
    from worker.run.enqueue import _note_owed

    shop.lose_sessions(EVE)
    plan = shop.plan()
    _note_owed(shop.context, RUN, plan)
    shop.register(plan)
    assert shop.visit(f"{EVE}/sessionise") == "succeeded"

    # When Redis forgets everything
    shop.ledger.client.flushall()

    # Then the next plan recomputes what no count shows
    again = shop.plan()
    taken = {(s.phase, t.date, t.reason) for _, s in again.steps() for t in s.tasks}
    assert taken == {("aggregate", d, GapReason.CASCADE) for d in plan.recompute["aggregate"]}

    # And what the ledger saw recomputed is not owed
    ids = shop.register(again)
    drain(shop, ids)
    assert all(s is DateState.DONE for s in shop.ledger.all_dates(RUN).values())
    assert finalize(shop.context, RUN) == "complete"
    assert owed_now(shop.context, shop.ledger) == []
    assert shop.differences() == []


def test_crashes_are_counted_apart_from_failures_and_anew_after_a_retry(shop: Shop) -> None:
    # Given a step that two workers began and never ended
    shop.lose_sessions(LAST)
    shop.register(shop.plan())
    step = f"{LAST}/sessionise"

    begun = [shop.ledger.start(RUN, step, token=str(n), worker="dead") for n in range(3)]

    # Then the third knows of two; a failure or a step that is handed back is no crash
    assert [each.crashes for each in begun if isinstance(each, Started)] == [0, 1, 2]
    shop.ledger.transition(RUN, step, token="2", state=StepState.PENDING)
    again = shop.ledger.start(RUN, step, token="3", worker="me")
    assert isinstance(again, Started)
    assert again.crashes == 2
    assert shop.ledger.step(RUN, step).attempt == 4

    # And a retry by hand counts from none
    shop.ledger.transition(RUN, step, token="3", state=StepState.FAILED)
    end(shop.ledger, RUN)
    shop.ledger.reopen(RUN, [("sessionise", LAST)], [step])
    shop.ledger.move(RUN, RunState.RUNNING, [RunState.INCOMPLETE])
    anew = shop.ledger.start(RUN, step, token="4", worker="me")
    assert isinstance(anew, Started)
    assert anew.crashes == 0
    assert shop.ledger.step(RUN, step).attempt == 5


def test_a_mistake_of_ours_is_a_failed_attempt_that_is_told_of(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.lose_sessions(LAST)
    step = shop.register(shop.plan())[0]

    def mistaken(*arguments: Any) -> None:
        raise KeyError("nobody thought of it")

    monkeypatch.setattr(attempt, "runner_for", mistaken)
    with pytest.raises(Requeue):
        shop.visit(step)

    record = shop.ledger.step(RUN, step)
    assert (record.state, record.failures, record.attempt) == (StepState.PENDING, 1, 1)
    assert "KeyError: 'nobody thought of it'" in record.error


def test_a_holder_that_lost_its_lease_records_nothing(shop: Shop) -> None:
    shop.lose_sessions(LAST)
    shop.register(shop.plan())
    step = f"{LAST}/sessionise"
    shop.ledger.start(RUN, step, token="old", worker="frozen")
    shop.ledger.start(RUN, step, token="new", worker="me")

    dates = {("sessionise", LAST): DateState.FAILED}
    kept = shop.ledger.transition(RUN, step, token="old", state=StepState.FAILED, dates=dates)

    assert kept is False
    assert shop.states()[step] is StepState.RUNNING
    assert shop.ledger.all_dates(RUN)["sessionise", LAST] is DateState.PENDING


def test_a_run_is_ended_once_with_one_report(shop: Shop) -> None:
    shop.lose_sessions(LAST)
    drain(shop, shop.register(shop.plan()))

    ends = [
        shop.ledger.conclude(RUN, RunState.FAILED, RunEnding(), report=f'"{n}"', endings=0)
        for n in range(3)
    ]

    assert ends == [True, False, False]
    assert shop.ledger.report(RUN) == '"0"'
    assert shop.ledger.require(RUN).endings == 1


@pytest.mark.parametrize("is_done", [True, False])
@pytest.mark.quick("False")
def test_a_finalizer_of_the_round_before_does_not_end_a_retry(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, is_done: bool
) -> None:
    """It stood still, another ended the run, and somebody tried it again meanwhile."""
    # Given a finalizer that has counted
    shop.lose_sessions(LAST)
    plan = shop.plan()
    drain(shop, shop.register(plan))
    steps = dict(plan.steps())
    pairs = [(step.phase, each) for step in steps.values() for each in step.dates]
    real = shop.ledger.conclude

    def conclude(*arguments: Any, **options: Any) -> bool:
        monkeypatch.undo()
        end(shop.ledger, RUN)
        shop.ledger.reopen(RUN, pairs, list(steps))
        shop.ledger.move(RUN, RunState.RUNNING, [RunState.INCOMPLETE])
        if is_done:
            drain(shop, list(steps))
        return real(*arguments, **options)

    # When the run has ended and been tried again before it says so
    monkeypatch.setattr(shop.ledger, "conclude", conclude)
    assert finalize(shop.context, RUN) == "running"

    # Then the retry goes on, and ends by its own count
    assert not shop.ledger.require(RUN).is_ended
    drain(shop, list(steps))
    assert finalize(shop.context, RUN) == "complete"
    assert shop.ledger.require(RUN).endings == 2


def test_a_run_ends_by_the_clock_of_redis(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.lose_sessions(LAST)
    drain(shop, shop.register(shop.plan()))
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 86_400)  # of a worker set wrong

    assert finalize(shop.context, RUN) == "complete"

    report = Report.model_validate_json(shop.ledger.report(RUN) or "")
    assert report.ended == pytest.approx(shop.ledger.require(RUN).ended, abs=60)


def test_a_run_with_steps_to_do_does_not_end(shop: Shop) -> None:
    shop.lose_sessions(LAST)
    shop.register(shop.plan())

    assert not shop.ledger.conclude(RUN, RunState.FAILED, RunEnding(), report="{}", endings=0)

    assert shop.ledger.require(RUN).state is RunState.RUNNING


def test_only_work_is_counted_as_work(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a step that failed once, waited long, and succeeded
    shop.lose_sessions(LAST)
    step = shop.register(shop.plan())[0]
    real, fails = attempt.recount, [True]
    short = Recount(short={LAST: "rows missing"}, unchanged=frozenset())
    monkeypatch.setattr(attempt, "recount", lambda *a, **k: short if fails.pop() else real(*a, **k))
    with pytest.raises(Requeue):
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
        shop.context.warehouse.run(TOUCH, {"day": each})

    # When a run takes one of them
    health = survey(shop.context.warehouse, PIPELINE, SCOPE, stale=True)
    wanted = Wanted(scope=SCOPE, phases=["sessionise", "aggregate"], limit=1)
    plan = plan_gaps(shop.context, health, wanted, ledger=shop.ledger)
    drain(shop, shop.register(plan))
    assert finalize(shop.context, RUN) == "complete"

    # Then its report shows both before, and the other after
    report = Report.model_validate_json(shop.ledger.report(RUN) or "")
    before, after = (
        list(each.days("sessionise", GapReason.STALE))
        for each in (report.days_before, report.days_after)
    )
    assert (before, after) == ([day(11), day(25)], [day(25)])
    open_days = report.before["2025"]["sessionise"].expected
    assert report.before["2025"]["sessionise"].complete == open_days - 2
    assert report.after["2025"]["sessionise"].complete == open_days - 1
    assert shop.differences() == []


def test_what_a_killed_worker_wrote_is_believed_when_the_next_writes_nothing(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a date that has to be recomputed, and a process killed between writing and recount
    shop.lose_sessions(LAST)
    step = f"{LAST}/aggregate"
    shop.register(shop.plan())
    shop.visit(f"{LAST}/sessionise")
    killed = f"""
import os, signal
from worker.step.attempt import Attempt
from worker.context import context_here
from worker.step.visit import visit
Attempt._recount = lambda *arguments: os.kill(os.getpid(), signal.SIGKILL)
visit(context_here(), {RUN!r}, {step!r}, worker="another")
"""
    environment = {**os.environ, **environment_of(shop.context.settings)}
    done = python(killed, environment=environment, cwd=shop.context.settings.home_dir.parent)
    assert done.code == -signal.SIGKILL, done.err
    assert shop.states()[step] is StepState.RUNNING

    # When the next one finds that there is nothing to write
    monkeypatch.setattr(Attempt, "_run", lambda *arguments: Ran())

    # Then the date has been recomputed
    assert shop.visit(step) == "succeeded"


@pytest.mark.parametrize("killed", [False, True])
def test_a_run_s_keys_live_as_long_as_each_other(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    """Keys of single steps are told after the others, in batches: a kill between leaves them, and
    nothing of the run without them."""

    def die(*arguments: object) -> NoReturn:
        raise KeyboardInterrupt

    shop.lose_sessions(LAST)
    drain(shop, shop.register(shop.plan()))
    client = shop.ledger.client
    keys = [str(key) for key in client.scan_iter(f"backfill:run:{RUN}*")]

    if killed:
        monkeypatch.setattr(type(shop.ledger), "_let_expire", die)
        with pytest.raises(KeyboardInterrupt):
            finalize(shop.context, RUN)
    else:
        assert finalize(shop.context, RUN) == "complete"
    found = [str(key) for key in client.scan_iter(f"backfill:run:{RUN}*")]
    stay = {key for key in found if client.ttl(key) < 0}
    of_steps = {key for key in found if key.startswith(f"backfill:run:{RUN}:step:")}
    assert of_steps
    assert stay == (of_steps if killed else set())

    shop.ledger.reopen(RUN, [], [])
    assert {client.ttl(key) for key in keys} == {-1}


def test_a_stale_look_repeats_no_date_and_counts_every_failure(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a step of two dates, and a delivery that looked before another attempt did one of them
    shop.lose_sessions(day(11), day(12))
    (step, *_) = shop.register(shop.plan(chunk_dates=2))
    start, made = type(shop.ledger).start, []

    def late(ledger: Any, *arguments: Any, **options: Any) -> Any:
        key = f"backfill:run:{RUN}"
        ledger.client.hset(f"{key}:dates", f"sessionise|{day(11)}", "done")
        ledger.client.hset(f"{key}:step:{step}", "failures", 1)
        return start(ledger, *arguments, **options)

    class Seen(attempt.Attempt):
        def make(self) -> Any:
            made.append((self.number, [*self.dates]))
            return super().make()

    monkeypatch.setattr(type(shop.ledger), "start", late)
    monkeypatch.setattr(visit, "Attempt", Seen)
    assert shop.visit(step) == "succeeded"

    assert made == [(2, [day(12)])]
