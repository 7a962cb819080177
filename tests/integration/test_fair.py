"""Runs share the fleet: none waits behind another's size, and each within its own limits."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta

import pytest
import redis

from planner.plan.hours import Hours
from planner.plan.states import RunState, StepState
from tests.integration.mart import DAYS, Mart
from tests.integration.shop import RUN, Shop, day
from tests.integration.tiny import FIRST, Tiny
from tests.waiting import until
from worker.ledger.lease import Lease, Resource
from worker.ledger.orders import Orders
from worker.messages.later import put_off
from worker.run.control import pause, resume
from worker.step.errors import Requeue

SLOTS = 2
HOUR = 3600.0


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    """A worker with two slots, and days enough."""
    world = Tiny(tmp_path_factory.mktemp("shared"))
    with world.up():
        yield world


@pytest.mark.slow
@pytest.mark.parametrize("phases", [("a", "b"), ("b", "d")])
def test_a_run_of_one_step_ends_within_three_step_lengths_of_one_of_200(
    shared: Tiny, phases: tuple[str, ...]
) -> None:
    # Given a run of 200 steps on two slots, of the same phase or of later ones, which come first
    large = shared.enqueue([FIRST + timedelta(days=n) for n in range(100)], phases)
    until(lambda: StepState.SUCCEEDED in shared.ledger.steps(large).values())
    began = len(_begun(shared, large))

    # When a small one comes, then few of the large one's steps begin before it has ended
    small = shared.enqueue([FIRST + timedelta(days=110)], ["a"])
    shared.ended(small)
    (step,) = shared.ledger.step_records(small)
    between = [at for at in _begun(shared, large)[began:] if at < (step.ended or 0.0)]
    assert len(between) <= 3 * SLOTS
    assert str(shared.ledger.require(small).state) == "complete"
    assert str(shared.ledger.require(large).state) == "running"
    shared.say("cancel", large)
    shared.ended(large)


def _begun(world: Tiny, run_id: str) -> list[float]:
    """When steps of a run began, in order."""
    return sorted(
        step.began or step.started for step in world.ledger.step_records(run_id) if step.started
    )


@pytest.mark.slow
def test_a_run_that_is_told_how_many_slots_takes_no_more(shared: Tiny) -> None:
    *days, other = [FIRST + timedelta(days=n) for n in range(101, 106)]  # of no other test
    for each in days:
        shared.hold(each)
    run_id = shared.enqueue(days, ["a"], orders=Orders(max_slots=1))
    until(lambda: any(step.waiting for step in shared.ledger.step_records(run_id)))
    shared.hold(other)
    beside = shared.enqueue([other], ["a"])

    # Then one of its steps runs, and the other slot is another run's
    until(lambda: shared.scripts(other) and any(map(shared.scripts, days)))
    running = [each for each in days if shared.scripts(each)]
    assert len(running) == 1
    waits = {step.waiting for step in shared.ledger.step_records(run_id)} - {""}
    assert waits == {"a slot of its run (1 at once)"}

    # And what ends lets the next one begin
    for each in (*days, other):
        shared.let_go(each)
    assert {str(shared.ended(each).state) for each in (run_id, beside)} == {"complete"}


# -- by visits -------------------------------------------------------------------------------


def waits(shop: Shop, step: str) -> Requeue:
    with pytest.raises(Requeue) as raised:
        shop.visit(step)
    return raised.value


def is_there(client: redis.Redis) -> list[str]:
    return [str(each) for each in client.lrange("q", 0, -1)]


@pytest.fixture
def step(shop: Shop) -> str:
    """The first step of a run."""
    shop.lose_sessions(day(4))
    shop.register(shop.plan())
    return f"{day(4)}/sessionise"


def test_a_step_waits_for_a_slot_of_its_run(shop: Shop, step: str) -> None:
    client = shop.context.redis
    client.hset(f"backfill:run:{RUN}", "max_slots", "1")
    other = Lease(client, [Resource(name=f"run:{RUN}")], seconds=60)
    assert other.acquire()
    put_off(client, "q", "message", HOUR, waits(shop, step).awaited)
    assert shop.ledger.step(RUN, step).waiting == "a slot of its run (1 at once)"

    other.release()
    assert is_there(client) == ["message"]
    assert shop.visit(step)


def test_a_paused_run_waits_out_of_the_queue_until_it_is_resumed(shop: Shop, step: str) -> None:
    pause(shop.context, RUN)
    client, requeue = shop.context.redis, waits(shop, step)

    # Thousands of steps that come by every ten seconds would be work for a fleet
    put_off(client, "q", "message", HOUR, requeue.awaited)
    assert is_there(client) == []

    resume(shop.context, RUN)
    assert is_there(client) == ["message"]
    assert shop.visit(step)


def test_steps_of_a_paused_run_come_by_when_it_is_cancelled(shop: Shop, step: str) -> None:
    pause(shop.context, RUN)
    client = shop.context.redis
    put_off(client, "q", "message", HOUR, waits(shop, step).awaited)

    shop.ledger.move(RUN, RunState.CANCELLING, [RunState.PAUSED])

    assert is_there(client) == ["message"]


def test_a_step_waits_for_its_runs_hours(shop: Shop, step: str) -> None:
    now = datetime.fromtimestamp(shop.ledger.now(), UTC)
    begin, end = (_clock(now + timedelta(hours=hours)) for hours in (2, 3))
    hours = Hours(begin=begin, end=end)
    shop.context.redis.hset(f"backfill:run:{RUN}", "hours", hours.model_dump_json())

    requeue = waits(shop, step)
    assert HOUR < requeue.seconds <= 2 * HOUR
    assert shop.ledger.step(RUN, step).waiting == f"the run's hours ({hours.text})"

    # And runs in them
    hours = Hours(begin=_clock(now - timedelta(hours=1)), end=end)
    shop.context.redis.hset(f"backfill:run:{RUN}", "hours", hours.model_dump_json())
    assert shop.visit(step)


def test_how_a_run_shares_the_fleet_is_shown(mart: Mart) -> None:
    # Given a run that was told nothing, and one that was told everything
    shared = ("--priority", "low", "--max-slots", "1", "--not-before", "22:00", "--until", "06:00")
    for table, number, told in (("trend", 2, ()), ("trend", 3, shared)):
        mart.lose(table, DAYS[number])
        only = ("--start", str(DAYS[number]), "--end", str(DAYS[number]))
        assert mart.command("enqueue", "--gaps", *only, *told, "--yes", "--json").code == 0

    # Then both are shown so, by status and in the list
    listed = {row["run_id"]: row for row in mart.command("runs", "--json").json["runs"]}
    shown = [mart.command("status", run, "--json").json for run in listed]
    said = [("low", 1, "22:00 to 06:00 UTC"), ("normal", None, None)]
    for found, expected in zip(shown, said, strict=True):
        row = listed[found["run_id"]]
        for each in (found, row):
            assert (each["priority"], each["max_slots"], each["hours"]) == expected
    texts = [mart.command("status", run).out for run in listed]
    assert "told: low priority, 1 slot at most, steps begin from 22:00 to 06:00 UTC" in texts[0]
    assert "told" not in texts[1]
    assert "22:00" not in mart.command("runs").out


def _clock(moment: datetime) -> time:
    return moment.time().replace(second=0, microsecond=0)
