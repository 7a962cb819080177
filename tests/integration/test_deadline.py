"""A run that goes on after its deadline is cancelled, by Redis's clock."""

from __future__ import annotations

import json

import pytest

from planner.plan.states import RunState, StepState
from tests.integration.ledgers import end
from tests.integration.shop import RUN, Shop, day, drain
from tests.waiting import until
from worker.finalization.finalize import finalize
from worker.ledger.lease import Lease, Resource
from worker.ledger.orders import Orders
from worker.ledger.record import RunRecord
from worker.status.status import status_json
from worker.step.errors import StepFailed
from worker.step.stop import Stop


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
    assert finalize(shop.context, RUN) == "cancelled"
    record = shop.ledger.require(RUN)
    assert record.stopped_by == "deadline"
    shown = status_json(shop.context, record)
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


def test_the_list_of_runs_moves_one_whose_deadline_has_passed_and_a_peek_does_not(
    shop: Shop,
) -> None:
    shop.ledger.register(RUN, shop.plan(), Orders(deadline_seconds=3600))
    shop.ledger.move(RUN, RunState.RUNNING, [RunState.INCOMPLETE])
    pass_deadline(shop)

    (seen,) = shop.ledger.peek_newest(1)
    assert isinstance(seen, RunRecord)
    assert seen.state is RunState.RUNNING
    assert shop.ledger.client.hget(f"backfill:run:{RUN}", "state") == "running"
    (moved,) = shop.ledger.runs()
    assert (moved.state, moved.stopped_by) == (RunState.CANCELLING, "deadline")
    assert shop.ledger.client.hget(f"backfill:run:{RUN}", "state") == "cancelling"


def test_a_step_at_work_is_stopped_at_the_deadline(shop: Shop) -> None:
    shop.lose_sessions(day(11))
    shop.register(shop.plan())
    lease = Lease(shop.ledger.client, [Resource(name="a")], seconds=1)
    assert lease.acquire()
    stop = Stop(shop.context, RUN, lease)
    with lease.kept_alive():
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
    end(shop.ledger, RUN, RunState.CANCELLED)
    step = f"{day(11)}/sessionise"

    shop.ledger.reopen(RUN, [("sessionise", day(11))], [step])
    assert (shop.ledger.require(RUN).deadline, shop.ledger.require(RUN).stopped_by) == (None, "")
    assert shop.ledger.require(RUN).state is RunState.INCOMPLETE

    shop.ledger.move(RUN, RunState.RUNNING, [RunState.INCOMPLETE])
    end(shop.ledger, RUN, RunState.CANCELLED)

    shop.ledger.reopen(RUN, [("sessionise", day(11))], [step], Orders(deadline_seconds=3600))
    assert shop.ledger.require(RUN).deadline is not None
