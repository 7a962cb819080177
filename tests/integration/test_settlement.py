"""What a step's end leaves in the ledger, and what it tells its task."""

from __future__ import annotations

import pytest

from planner.plan.states import DateState, RunState, StepState
from tests.integration.shop import RUN, Shop, day, lose_what_is_written
from worker.step import visit
from worker.step.errors import Requeue, StepFailed

PAIR = f"{day(11)}..{day(12)}"
STEP, LATER = f"{PAIR}/sessionise", f"{PAIR}/aggregate"


@pytest.fixture
def half(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """A run with a step of two dates, of which one loses its rows as soon as they are written."""
    shop.lose_sessions(day(11), day(12))
    shop.register(shop.plan(chunk_dates=2))
    lose_what_is_written(monkeypatch, day(11))
    return shop


def test_a_step_of_which_some_dates_failed_fails_and_its_chunk_goes_on(
    half: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visit, "decide", lambda *a, **k: None)

    with pytest.raises(StepFailed, match=f"{STEP} failed: {day(11)}") as failed:
        half.visit(STEP)
    with pytest.raises(StepFailed, match=f"{STEP} failed: {day(11)}") as again:
        half.visit(STEP)

    # Only the delivery that settled it asks for the rest of its chunk to be sent
    assert (failed.value.goes_on, again.value.goes_on) == (True, False)
    assert half.states()[LATER] is StepState.PENDING


def test_a_cancelled_step_of_which_some_dates_are_done_is_cancelled(half: Shop) -> None:
    with pytest.raises(Requeue):
        half.visit(STEP)
    half.ledger.move(RUN, RunState.CANCELLING, [RunState.RUNNING])

    for step in (STEP, LATER):
        with pytest.raises(StepFailed, match=f"{step} cancelled"):
            half.visit(step)

    states = half.ledger.all_dates(RUN)
    assert states["sessionise", day(11)] is DateState.CANCELLED
    assert states["sessionise", day(12)] is DateState.DONE


def test_a_cancelled_step_leaves_what_later_steps_have_done(half: Shop) -> None:
    """As after a retry: the other branch of a pipeline was done before."""
    key = f"backfill:run:{RUN}"
    half.ledger.client.hset(f"{key}:steps", LATER, StepState.SUCCEEDED)
    half.ledger.client.hset(f"{key}:dates", f"aggregate|{day(11)}", DateState.DONE)
    half.ledger.move(RUN, RunState.CANCELLING, [RunState.RUNNING])

    with pytest.raises(StepFailed):
        half.visit(STEP)

    assert half.states()[LATER] is StepState.SUCCEEDED
    assert half.ledger.all_dates(RUN)["aggregate", day(11)] is DateState.DONE
