"""What is to come back later waits in Redis, for whoever is free then."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from tests.bench.worlds import round_trips
from tests.integration.tiny import Tiny
from tests.waiting import until
from worker.messages import later
from worker.messages.later import (
    GOES_FIRST,
    IDLE_SECONDS,
    LOOK_SECONDS,
    WAKE,
    Delivery,
    deliver,
    put_off,
    waiting,
    wake,
)
from worker.processes.children import supervised
from worker.processes.workers import worker_process
from worker.run import control


@pytest.mark.slow
def test_a_step_that_waits_is_taken_by_whoever_is_free(tmp_path: Path) -> None:
    """A message with a countdown stays with its receiver, behind what that one does meanwhile."""
    tiny = Tiny(tmp_path)
    first, second = (
        worker_process(tiny.settings, n, environment=tiny.environment) for n in (11, 12)
    )
    with tiny.up(worker=False), ExitStack() as stack:
        # Given a worker with one slot, which has looked at a step that cannot begin yet
        waits, works = tiny.days(2)
        waiting = tiny.register([waits], ["b"])
        tiny.say("send", waiting)
        control.pause(tiny.context, waiting)
        stack.enter_context(supervised([first]))
        until(lambda: tiny.ledger.step(waiting, f"{waits}/b").waits > 2)

        # When a long step keeps that worker busy, another comes, and the first step may begin
        tiny.hold(works)
        long = tiny.enqueue([works], ["a"])
        until(lambda: tiny.scripts(works))
        stack.enter_context(supervised([second]))
        control.resume(tiny.context, waiting)

        # Then the other worker does it, while the long one goes on
        assert str(tiny.ended(waiting, seconds=20).state) == "complete"
        assert not tiny.ledger.require(long).is_ended
        tiny.let_go(works)
        assert str(tiny.ended(long).state) == "complete"


@pytest.fixture
def delivery(client: redis.Redis) -> Iterator[Delivery]:
    """The delivery of a worker, which has found nothing and sleeps."""
    thread = Delivery(client, ["a", "b"])
    thread.start()
    until(lambda: _blocked(client) == 1)
    yield thread
    thread.stop()
    wake(client)
    thread.join()


def _blocked(client: redis.Redis) -> int:
    return int(client.info("clients")["blocked_clients"])


def test_a_delivery_with_nothing_to_do_asks_redis_for_nothing(
    client: redis.Redis, delivery: Delivery
) -> None:
    """Ten looks a second of every worker were most of what an idle fleet asked of Redis."""
    with round_trips() as sent:
        asleep = time.monotonic() + 1.0
        until(lambda: time.monotonic() > asleep)
    assert len(sent) <= 2  # one look, and one wait, where it woke by itself in that second


def test_a_message_wakes_a_delivery_when_it_is_the_first_to_be_due(
    client: redis.Redis, delivery: Delivery
) -> None:
    # Given one that sleeps until something is due in a minute
    put_off(client, "b", "late", 60)
    until(lambda: not client.llen(WAKE) and _blocked(client) == 1)

    # When a message is delayed that is due before, then it comes at its time
    begun = time.monotonic()
    put_off(client, "a", "soon", 0.3)
    until(lambda: client.llen("a"))
    assert 0.2 < time.monotonic() - begun < IDLE_SECONDS - 1
    assert client.zcard(waiting("b")) == 1

    # And one that is due after others wakes nothing
    until(lambda: _blocked(client) == 1)
    with round_trips() as sent:
        put_off(client, "b", "later still", 90)
    assert len(sent) == 1
    assert client.llen(WAKE) == 0


def test_a_delivery_that_ends_leaves_its_wake_to_another(
    client: redis.Redis, delivery: Delivery
) -> None:
    delivery.stop()
    put_off(client, "a", "soon", 0.1)
    delivery.join()

    other = Delivery(client, ["a"])
    other.start()
    until(lambda: client.llen("a"), seconds=IDLE_SECONDS - 1)
    other.stop()
    wake(client)
    other.join()


@pytest.mark.parametrize("due", [LOOK_SECONDS + 0.0004, LOOK_SECONDS + 0.00001, LOOK_SECONDS])
def test_a_delivery_never_sleeps_without_end(
    client: redis.Redis, monkeypatch: pytest.MonkeyPatch, due: float
) -> None:
    """Redis before 7 takes a timeout of less than a millisecond for none."""
    looks: list[float] = []

    def next_is_due(*_: object) -> float:
        looks.append(due)
        return due

    monkeypatch.setattr(later, "deliver", next_is_due)
    thread = Delivery(client, ["a"])
    thread.start()
    try:
        until(lambda: len(looks) >= 3, seconds=IDLE_SECONDS)
    finally:
        thread.stop()
        wake(client)
        thread.join()


def test_a_look_at_what_works_goes_before_all_that_waits(client: redis.Redis) -> None:
    """Thousands that wait for one service came by before the batch that it runs was looked at."""
    looks = json.dumps({"headers": {GOES_FIRST: True}})
    for n in range(50):
        put_off(client, "a", f"waits {n}", 0.001)
    put_off(client, "a", looks, 0.002)
    until(lambda: deliver(client, ["a"]) is None)

    assert client.llen("a") == 51
    assert client.rpop("a") == looks  # the end that workers take from
    assert client.rpop("a") == "waits 0"
