"""Celery shows the ledger's truth: a step that failed, was blocked or cancelled is no SUCCESS.

    a → b, d → c        b and d do not need each other, c needs both

By the result backend and by task events, which is all that Flower knows.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from datetime import date

import pytest

from planner.plan.states import STEP_ENDED, StepState
from tests.integration.tiny import Tiny
from tests.waiting import until
from worker.ledger.lease import Lease, Resource
from worker.run.control import cancel

NOT_DONE = {"FAILURE", "REVOKED"}
ENDED = NOT_DONE | {"SUCCESS"}
EACH_ONCE = [("a", "SUCCESS"), ("b", "FAILURE"), ("c", "FAILURE"), ("d", "SUCCESS")]
"""Where `b` fails: `c` ran too, since it comes after `d`, and found itself blocked."""


@pytest.fixture(scope="module")
def fleet(tiny: Tiny) -> Tiny:
    """The tiny fleet, whose events are followed."""
    tiny.say("listen")
    return tiny


def results(tiny: Tiny, run_id: str, day: date) -> dict[str, set[str]]:
    """Phase → the states of its results in the backend; `finalize` is that of the run."""
    found: dict[str, set[str]] = {}
    for step, state in json.loads(tiny.say("results", run_id)):
        if step == "finalize" or str(day) in step:
            found.setdefault(step.rpartition("/")[2], set()).add(state)
    return found


def ran(tiny: Tiny, run_id: str, *, tasks: int) -> list[tuple[str, str]]:
    """(phase, state) of every task that ran, by its events: when so many have ended, or more."""
    until(lambda: sum(state in ENDED for _, state in seen(tiny, run_id)) >= tasks)
    return seen(tiny, run_id)


def seen(tiny: Tiny, run_id: str) -> list[tuple[str, str]]:
    """(phase, state) of every task that a worker received, by its events."""
    found = json.loads(tiny.say("seen", run_id))
    return sorted((name.rpartition("/")[2], state) for name, state in found if "/" in name)


def never_a_success(tiny: Tiny, run_id: str) -> None:
    """No result of a step is SUCCESS unless the ledger says that the step succeeded."""
    steps = tiny.ledger.steps(run_id)
    for step, state in json.loads(tiny.say("results", run_id)):
        if step != "finalize" and steps[step] is not StepState.SUCCEEDED:
            assert state in NOT_DONE, (step, state)


def settled(tiny: Tiny, run_id: str) -> bool:
    return STEP_ENDED.issuperset(tiny.ledger.steps(run_id).values())


@pytest.fixture
def held_d(fleet: Tiny) -> Iterator[tuple[date, Lease]]:
    """A day on which `b` fails, and whose step `d` has to wait."""
    (day,) = fleet.days(1)
    fleet.spoil(day, "b")
    lease = Lease(fleet.client, [Resource(name=f"{fleet.context.realm}:d:{day}")], seconds=60)
    assert lease.acquire()
    with lease.kept_alive():  # the fleet's leases expire after 2 s: it would be evicted
        yield day, lease
    lease.release()


def test_a_failed_step_is_a_failure_and_what_does_not_need_it_runs(fleet: Tiny) -> None:
    (day,) = fleet.days(1)
    fleet.spoil(day, "b")

    record = fleet.ended(run_id := fleet.enqueue([day]))

    assert ran(fleet, run_id, tasks=4) == EACH_ONCE
    found = results(fleet, run_id, day)
    assert (found["a"], found["b"], found["c"]) == ({"SUCCESS"}, {"FAILURE"}, {"FAILURE"})
    assert "SUCCESS" in found["d"]
    assert (str(record.state), record.endings) == ("failed", 1)


def test_the_final_validation_is_made_once_and_last(
    fleet: Tiny, held_d: tuple[date, Lease]
) -> None:
    # Given a chain that ended with its failed step, and a later step that is still to do
    day, lease = held_d
    run_id = fleet.enqueue([day])
    until(lambda: fleet.ledger.step(run_id, f"{day}/b").state is StepState.FAILED)

    # When the finalization comes, then it waits, and so does the later step
    until(lambda: results(fleet, run_id, day).get("finalize") == {"RETRY"})
    until(lambda: fleet.ledger.step(run_id, f"{day}/d").waits > 2)
    assert not fleet.ledger.require(run_id).is_ended

    # And when that is done, the run ends, once, after every step
    lease.release()
    record = fleet.ended(run_id)
    ended = [step.ended or 0 for step in fleet.ledger.step_records(run_id, fleet.states(run_id))]
    assert record.endings == 1
    assert record.ended is not None
    assert record.ended > max(ended)
    until(lambda: "SUCCESS" in results(fleet, run_id, day)["finalize"])
    assert fleet.states(run_id)[f"{day}/d"] == "succeeded"


def test_a_step_of_which_some_dates_are_done_is_a_failure(fleet: Tiny) -> None:
    """Its later steps do the others of its dates."""
    good, bad = fleet.days(2)
    fleet.spoil(bad, "b")

    record = fleet.ended(run_id := fleet.enqueue([good, bad], chunk_dates=2))

    (chunk,) = {step.rpartition("/")[0] for step in fleet.states(run_id)}
    assert ran(fleet, run_id, tasks=4) == EACH_ONCE
    never_a_success(fleet, run_id)
    dates = fleet.ledger.all_dates(run_id)
    assert [str(dates["c", day]) for day in (good, bad)] == ["done", "blocked"]
    assert fleet.states(run_id)[f"{chunk}/c"] == "blocked"
    assert record.endings == 1


def test_a_cancelled_step_is_no_success(fleet: Tiny) -> None:
    # Given a step at work, and one that waits
    day, other = fleet.days(2)
    fleet.hold(day)
    run_id = fleet.enqueue([day, other], ["a", "b", "d"])
    fleet.holder(day)
    until(lambda: fleet.states(run_id)[f"{other}/d"] == "succeeded")

    cancel(fleet.context, run_id)

    assert str(fleet.ended(run_id).state) == "cancelled"
    fleet.let_go(day)
    assert ("a", "FAILURE") in ran(fleet, run_id, tasks=4)
    never_a_success(fleet, run_id)


def test_a_failed_step_that_is_delivered_again_sends_nothing_again(fleet: Tiny) -> None:
    (day,) = fleet.days(1)
    fleet.spoil(day, "b")
    fleet.ended(run_id := fleet.enqueue([day]))
    assert ran(fleet, run_id, tasks=4) == EACH_ONCE

    fleet.say("step", run_id, f"{day}/b")

    ran(fleet, run_id, tasks=5)
    until(lambda: not fleet.client.hlen("unacked") and not fleet.client.llen("d"))
    assert seen(fleet, run_id) == sorted([*EACH_ONCE, ("b", "FAILURE")])
    never_a_success(fleet, run_id)


def test_killed_between_settling_and_sending(fleet: Tiny) -> None:
    """The failed step's message comes again and sends nothing; the reconciler does."""
    (day,) = fleet.days(1)
    fleet.spoil(day, "b")
    (fleet.place / "dies_before_rest").touch()

    record = fleet.ended(run_id := fleet.enqueue([day]))

    assert not (fleet.place / "dies_before_rest").exists()  # it died
    expected = {"a": "succeeded", "b": "failed", "d": "succeeded", "c": "blocked"}
    assert fleet.states(run_id) == {f"{day}/{phase}": to for phase, to in expected.items()}
    assert record.endings == 1
    until(lambda: results(fleet, run_id, day)["b"] == {"FAILURE"})  # its message came again
    never_a_success(fleet, run_id)


@pytest.mark.slow
def test_hanging_between_settling_and_sending(fleet: Tiny) -> None:
    """Its worker holds the failed step's message until it ends the process: that is no sign of what
    is left."""
    (day,) = fleet.days(1)
    fleet.spoil(day, "b")
    (fleet.place / "freezes_before_rest").touch()

    run_id, frozen = fleet.enqueue([day]), fleet.place / "frozen"
    try:
        record = fleet.ended(run_id)
    finally:
        if frozen.exists():
            with suppress(ProcessLookupError):  # its worker has ended it by now
                os.kill(int(frozen.read_text()), signal.SIGKILL)

    assert frozen.exists()

    expected = {"a": "succeeded", "b": "failed", "d": "succeeded", "c": "blocked"}
    assert fleet.states(run_id) == {f"{day}/{phase}": to for phase, to in expected.items()}
    assert record.endings == 1
    assert "SUCCESS" not in results(fleet, run_id, day)["b"]


@pytest.mark.parametrize("is_forgotten", [True, False])
def test_a_message_of_a_run_that_is_gone_is_no_success(fleet: Tiny, is_forgotten: bool) -> None:
    (day,) = fleet.days(1)
    run_id = fleet.register([day])
    if is_forgotten:
        fleet.client.delete(f"backfill:run:{run_id}")
    else:
        fleet.client.hset(f"backfill:run:{run_id}", "state", "cancelled")

    fleet.say("step", run_id, f"{day}/a")

    assert ran(fleet, run_id, tasks=1) == [("a", "FAILURE")]
    assert results(fleet, run_id, day) == {"a": {"FAILURE"}}
