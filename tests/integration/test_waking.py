"""A step that waits is woken by the end of what it waits for."""

from __future__ import annotations

from datetime import date

import pytest
import redis

from planner.plan.states import DateState
from tests.integration.shop import RUN, Shop, day
from worker.ledger.awaited import Awaited, awaited_date, awaited_resource, wake_for_dates
from worker.ledger.connection import now
from worker.ledger.keys import date_field, run_key
from worker.ledger.lease import Lease, Resource
from worker.ledger.together import Together
from worker.messages.later import put_off, waiting
from worker.step.errors import Requeue

HOUR = 3600.0
FIRST = date(2026, 1, 1)


def is_there(client: redis.Redis) -> list[str]:
    """Messages of queue `q`, in the order in which they are delivered."""
    return [str(each) for each in reversed(client.lrange("q", 0, -1))]


def due_in(client: redis.Redis, message: str) -> float:
    """Seconds until a delayed message is due."""
    due = client.zscore(waiting("q"), message)
    assert due is not None
    return float(due) - now(client)


def held(client: redis.Redis, capacity: int = 1) -> tuple[Resource, list[Lease]]:
    """A resource that is full."""
    resource = Resource(name="r", capacity=capacity)
    leases = [Lease(client, [resource], seconds=60) for _ in range(capacity)]
    assert all(each.acquire() for each in leases)
    return resource, leases


def wait(client: redis.Redis, *steps: str, resource: Resource) -> None:
    for step in steps:
        awaited = awaited_resource("run", step, resource.key, resource.capacity)
        put_off(client, "q", f"message of {step}", HOUR, awaited)


def test_a_slot_that_is_given_back_wakes_who_waited_longest(client: redis.Redis) -> None:
    resource, (first, second) = held(client, capacity=2)
    wait(client, "a", "b", "c", resource=resource)
    assert is_there(client) == []

    first.release()
    assert is_there(client) == ["message of a"]

    # One that came by already, such as of a run that was cancelled, is passed over
    client.zrem(waiting("q"), "message of b")
    second.release()
    assert is_there(client) == ["message of c", "message of a"]
    assert not client.zcard(waiting("q"))


def test_who_waits_again_keeps_its_place(client: redis.Redis) -> None:
    resource, (lease,) = held(client)
    wait(client, "a", "b", resource=resource)

    # When the first comes by by itself, and waits again with a new message
    client.zrem(waiting("q"), "message of a")
    awaited = awaited_resource("run", "a", resource.key, 1)
    put_off(client, "q", "second message of a", HOUR, awaited)
    lease.release()

    assert is_there(client) == ["second message of a"]


def test_a_slot_that_is_free_by_now_is_not_waited_for(client: redis.Redis) -> None:
    """What ends between a step's look and its wait wakes nobody."""
    resource, (lease,) = held(client)
    lease.release()

    wait(client, "a", resource=resource)

    assert due_in(client, "message of a") <= 0


def test_the_more_wait_the_more_rarely_each_comes_by(client: redis.Redis) -> None:
    """Thousands that wait for one service would keep the whole fleet busy with looks."""
    resource, _ = held(client)
    for n in range(100):
        awaited = awaited_resource("run", f"{n}", resource.key, 1)
        put_off(client, "q", f"message of {n}", 10, awaited)

    assert due_in(client, "message of 0") < 11
    assert 98 < due_in(client, "message of 99") < 101


@pytest.mark.parametrize("to", [DateState.DONE, DateState.FAILED, DateState.CANCELLED])
def test_a_date_that_ends_wakes_all_that_wait_for_it(client: redis.Redis, to: DateState) -> None:
    pair = ("clean", FIRST)
    client.hset(run_key("run", "dates"), date_field(*pair), DateState.PENDING)
    for step in "abc":
        put_off(client, "q", step, HOUR, awaited_date("run", step, pair))

    together = Together(client)
    wake_for_dates(together, "run", {pair: DateState.PENDING}.items())
    wake_for_dates(together, "run", {("clean", date(2026, 1, 2)): to}.items())
    together.send()
    assert is_there(client) == []

    wake_for_dates(together := Together(client), "run", {pair: to}.items())
    together.send()
    assert is_there(client) == ["a", "b", "c"]

    # And none waits for one that has ended
    client.hset(run_key("run", "dates"), date_field(*pair), to)
    put_off(client, "q", "late", HOUR, awaited_date("run", "late", pair))
    assert due_in(client, "late") <= 0


# -- by visits -------------------------------------------------------------------------------


def waits_for(shop: Shop, step: str) -> Awaited:
    with pytest.raises(Requeue) as raised:
        shop.visit(step)
    assert raised.value.awaited is not None
    return raised.value.awaited


def test_a_step_wakes_what_waits_for_its_dates(shop: Shop) -> None:
    # Given two days that one step above them reads, of another chunk
    shop.lose_sessions(day(4), day(5))
    ids = shop.register(shop.plan())
    first, later = f"{day(4)}/sessionise", f"{day(5)}/aggregate"
    assert {first, later} <= set(ids)

    awaited = waits_for(shop, later)
    put_off(shop.context.redis, "q", "later", HOUR, awaited)

    # When the step that makes what it awaits has ended, then it is there
    made = awaited.field.replace("|", "/").split("/")[1]
    shop.visit(f"{made}/sessionise")
    assert is_there(shop.context.redis) == ["later"]


def test_a_step_that_finds_its_dates_held_is_woken_when_they_are_free(shop: Shop) -> None:
    shop.lose_sessions(day(4))
    shop.register(shop.plan())
    step = f"{day(4)}/sessionise"
    name = f"{shop.context.realm}:sessionise:{day(4)}"
    other = Lease(shop.context.redis, [Resource(name=name)], seconds=60)
    assert other.acquire()

    put_off(shop.context.redis, "q", step, HOUR, waits_for(shop, step))
    assert is_there(shop.context.redis) == []
    assert shop.ledger.step(RUN, step).waiting == "another step of its dates"

    other.release()
    assert is_there(shop.context.redis) == [step]
