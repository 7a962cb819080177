"""Runs share the fleet: none waits behind another's size, and each within its own limits."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
import redis
from celery.canvas import _chain

from planner.plan.hours import Hours
from planner.plan.states import Priority, RunState, StepState
from tests.integration.mart import DAYS, Mart
from tests.integration.shop import RUN, Shop, day
from tests.integration.tiny import FIRST, Tiny
from tests.waiting import until
from worker.ledger.lease import Lease, Resource
from worker.ledger.orders import OrderChanges, Orders
from worker.messages.lanes import LANES, list_of
from worker.messages.later import put_off, waiting
from worker.messages.transport import _put, withholding
from worker.run.control import pause, resume
from worker.step import visit
from worker.step.errors import Requeue
from worker.tasks import _follow_lane, _leave_lane, _send_rest

SLOTS = 2
HOUR = 3600.0

Message = dict[str, Any]


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
    assert "sharing: low priority, 1 slot at most, steps begin from 22:00 to 06:00 UTC" in texts[0]
    assert "told" not in texts[1]
    assert "22:00" not in mart.command("runs").out


def test_a_run_that_goes_on_is_told_anew(mart: Mart, client: redis.Redis) -> None:
    # Given a run that is sent, beside another one in its lane
    sent = []
    for table, number in (("trend", 2), ("trend", 3)):
        mart.lose(table, DAYS[number])
        only = ("--start", str(DAYS[number]), "--end", str(DAYS[number]))
        told = mart.sending("enqueue", "--gaps", *only, "--priority", "low", "--yes", "--json")
        sent.append(told.json["run_id"])
    run_id, other = sent
    lane, beside = mart.ledger.require(run_id).lane, mart.ledger.require(other).lane
    raw = client.lindex(list_of("trend", beside), 0)
    client.lpush(list_of("trend", lane), raw)

    # When it is told to hurry, and how much it may take
    shared = ("--priority", "high", "--max-slots", "2", "--not-before", "22:00", "--until", "06:00")
    told = mart.command("resume", run_id, *shared)

    # Then it is shown so, and its messages are where those of such runs are; no other's are
    assert told.code == 0, told
    record = mart.ledger.require(run_id)
    assert (record.state, record.priority, record.max_slots) == ("running", "high", 2)
    assert record.hours is not None
    assert record.hours.text == "22:00 to 06:00 UTC"
    assert record.lane in LANES[Priority.HIGH]
    (moved,) = client.lrange(list_of("trend", record.lane), 0, -1)
    assert json.loads(moved)["properties"]["priority"] == record.lane
    assert client.lrange(list_of("trend", lane), 0, -1) == [raw]

    # And half of its hours are none
    assert "Hours have a begin" in mart.command("resume", run_id, "--until", "06:00").err


def test_what_waits_looks_at_once_at_what_its_run_is_told(shop: Shop, step: str) -> None:
    """A step waits in Redis until its run's hours begin: these are others now."""
    client = shop.context.redis
    raw = json.dumps(message_of(step))
    put_off(client, "sessionise", raw, HOUR)
    whole_day = Hours(begin=time(0, 0), end=time(23, 59))

    resume(shop.context, RUN, changes=OrderChanges(hours=whole_day))

    assert client.zscore(waiting("sessionise"), raw) == 0.0
    assert shop.ledger.require(RUN).hours == whole_day


def message_of(step: str) -> Message:
    body = base64.b64encode(json.dumps([[RUN, step], {}, {}]).encode()).decode()
    headers, properties = {"task": "backfill.step"}, {"priority": 0}
    return {"headers": headers, "properties": properties, "body": body}


def lane_of_sent(step: str) -> int:
    """The lane in which a message is sent that names lane 0."""
    with withholding() as made:
        _put(None, "sessionise", message_of(step))
    ((_, message),) = made
    return int(message["properties"]["priority"])


def test_what_a_step_sends_goes_to_the_lane_that_its_run_has_now(shop: Shop, step: str) -> None:
    """Its own message was sent before its run was told anew."""
    high = LANES[Priority.HIGH][0]
    shop.context.redis.hset(f"backfill:run:{RUN}", "lane", str(high))
    try:
        assert visit.visit(shop.context, RUN, step, worker="me", on_run=_follow_lane)
        assert lane_of_sent(step) == high
    finally:
        _leave_lane()
    assert lane_of_sent(step) == 0


def test_what_is_left_of_a_chunk_stays_in_the_lane_of_its_run(
    shop: Shop, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    low, sent = LANES[Priority.LOW][0], []
    shop.context.redis.hset(f"backfill:run:{RUN}", "lane", str(low))
    monkeypatch.setattr(_chain, "apply_async", lambda chain: sent.append(chain))

    _send_rest(shop.context, RUN, step)

    ((first, second),) = [chain.tasks for chain in sent]
    assert [each.options["priority"] for each in (first, second)] == [low, low]


def _clock(moment: datetime) -> time:
    return moment.time().replace(second=0, microsecond=0)
