"""A run is registered in calls that are short at any size of its plan, as a whole or not at all."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import pytest
import redis
from redis.connection import PythonRespSerializer

from planner.errors import FleetError
from planner.plan.plan import Plan
from planner.plan.states import RunState
from tests.integration.shop import RUN, Shop, day
from tests.waiting import until
from worker.ledger import runs as runs_module
from worker.ledger.ends import KEEP_SECONDS
from worker.ledger.keys import held_key
from worker.ledger.record import RunEnding
from worker.ledger.runs import StillHeld
from worker.ledger.staging import AT_ONCE, STAGED_SECONDS

Act = Callable[[Callable[..., Any], dict[str, Any]], Any]


@pytest.fixture
def plan(shop: Shop) -> Plan:
    shop.lose_sessions(day(11))
    return shop.plan()


def large(plan: Plan, size: int) -> Plan:
    """A plan of as many chunks, each of a day of its own."""
    (chunk, *_), first = plan.chunks, date(1200, 1, 1)

    def of(at: date) -> Any:
        steps = [
            step.model_copy(update={"tasks": (step.tasks[0].model_copy(update={"date": at}),)})
            for step in chunk.steps
        ]
        return chunk.model_copy(update={"id": str(at), "dates": (at,), "steps": tuple(steps)})

    chunks = tuple(of(first + timedelta(days=n)) for n in range(size))
    return plan.model_copy(update={"chunks": chunks})


def flip(monkeypatch: pytest.MonkeyPatch, act: Act) -> None:
    """Let something happen where what is staged gets its names."""
    stock = runs_module.script

    def script(client: redis.Redis, name: str) -> Any:
        return lambda **said: act(stock(client, name), said)

    monkeypatch.setattr(runs_module, "script", script)


def staged(shop: Shop) -> list[str]:
    return [str(key) for key in shop.context.redis.scan_iter("backfill:staged:*")]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Every command that is sent to Redis, as its words."""
    found: list[tuple[Any, ...]] = []
    stock = PythonRespSerializer.pack

    def pack(packer: Any, *words: Any) -> Any:
        found.append(words)
        return stock(packer, *words)

    monkeypatch.setattr(PythonRespSerializer, "pack", pack)
    return found


def test_no_call_grows_with_the_plan(shop: Shop, plan: Plan, sent: list[tuple[Any, ...]]) -> None:
    """Redis does one thing at a time: all workers wait for the longest call."""
    many = large(plan, 3 * AT_ONCE)
    sent.clear()

    shop.ledger.register(RUN, many)

    assert max(map(len, sent)) == 2 * AT_ONCE + 2  # a batch, with its command and key
    flips = [words for words in sent if str(words[0]).startswith("EVAL")]
    assert max(sum(len(str(word)) for word in words) for words in flips) < 10_000

    # And all of it is there, for as long as the run goes on
    assert shop.context.redis.hlen(f"backfill:run:{RUN}:chunks") == len(many.chunks)
    assert len(shop.ledger.steps(RUN)) == many.steps_total
    assert len(shop.ledger.all_dates(RUN)) == many.steps_total
    held = shop.ledger.held("sales", shop.context.warehouse.identity)
    assert set(held.values()) == {RUN}
    assert len(held) == many.steps_total
    keys = [str(key) for key in shop.context.redis.scan_iter("backfill:run:*")]
    assert {shop.context.redis.ttl(key) for key in keys} == {-1}
    assert staged(shop) == []


def test_a_call_that_is_repeated_registers_once(
    shop: Shop, plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the client does when the answer was late."""

    def twice(call: Callable[..., Any], said: dict[str, Any]) -> Any:
        call(**said)
        shop.ledger.move(RUN, RunState.RUNNING, [RunState.INCOMPLETE])
        return call(**said)

    flip(monkeypatch, twice)
    shop.ledger.register(RUN, plan)

    assert shop.ledger.require(RUN).state is RunState.RUNNING
    assert len(shop.ledger.steps(RUN)) == plan.steps_total


@pytest.mark.parametrize("part", ["dates", "steps", "chunks", "plan"])
def test_what_is_staged_in_part_is_not_registered(
    shop: Shop, plan: Plan, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    def late(call: Callable[..., Any], said: dict[str, Any]) -> Any:
        key = f"backfill:staged:{RUN}:{part}"
        if part == "plan":
            shop.context.redis.delete(key)
        else:
            shop.context.redis.hdel(key, str(shop.context.redis.hkeys(key)[0]))
        return call(**said)

    flip(monkeypatch, late)
    with pytest.raises(FleetError, match=f"dropped what was staged of {RUN}.*try again"):
        shop.ledger.register(RUN, plan)

    assert shop.ledger.runs() == []
    assert not shop.context.redis.keys("backfill:run:*")
    assert not shop.context.redis.exists(held_key(shop.context.realm))
    assert all(0 < shop.context.redis.ttl(key) <= STAGED_SECONDS for key in staged(shop))


def test_what_another_run_holds_leaves_nothing_staged(shop: Shop, plan: Plan) -> None:
    shop.ledger.register(RUN, plan)
    with pytest.raises(StillHeld) as held:
        shop.ledger.register("another", plan)
    assert len(held.value.held) == plan.steps_total
    assert staged(shop) == []


@pytest.mark.parametrize("tried_again", [False, True])
def test_keys_of_steps_live_as_long_as_their_run(
    shop: Shop, plan: Plan, monkeypatch: pytest.MonkeyPatch, tried_again: bool
) -> None:
    many, client = large(plan, 30), shop.context.redis
    shop.register(many)
    ids = [step_id for step_id, _ in many.steps()]
    for step_id in ids:
        client.hset(f"backfill:run:{RUN}:step:{step_id}", "attempt", 1)
        client.hset(f"backfill:run:{RUN}:steps", step_id, "failed")
    if tried_again:  # before the one that ends it has told every key
        stock = shop.ledger._let_expire

        def late(run_id: str, keys: list[str]) -> None:
            pairs = [(step.phase, at) for _, step in many.steps() for at in step.dates]
            shop.ledger.reopen(RUN, pairs, ids)
            stock(run_id, keys)

        monkeypatch.setattr(shop.ledger, "_let_expire", late)

    assert shop.ledger.conclude(RUN, RunState.FAILED, RunEnding(), report="{}", endings=0)

    keys = [str(key) for key in client.scan_iter(f"backfill:run:{RUN}*")]
    lives = {client.ttl(key) for key in keys}
    assert lives == {-1} if tried_again else min(lives) > KEEP_SECONDS - 60
    held = shop.ledger.held("sales", shop.context.warehouse.identity)
    assert len(held) == (many.steps_total if tried_again else 0)


@pytest.mark.parametrize("forged", ["*", "run-*", RUN[:-1], ""])
def test_what_is_no_run_that_has_expired_takes_nothing_along(
    shop: Shop, plan: Plan, forged: str
) -> None:
    client = shop.context.redis
    shop.ledger.register(RUN, plan)
    before = sorted(client.scan_iter("backfill:run:*"))
    client.zadd("backfill:runs", {forged: 1})

    shop.ledger.forget_expired()

    assert sorted(client.scan_iter("backfill:run:*")) == before
    assert client.zrange("backfill:runs", 0, -1) == [RUN]


def test_what_is_left_of_a_run_that_has_expired_goes(shop: Shop, plan: Plan) -> None:
    """Of one that died while it told the keys of an ended run to expire."""
    client = shop.context.redis
    shop.ledger.register(RUN, plan)
    client.hset(f"backfill:run:{RUN}:step:left", "attempt", 1)
    client.delete(f"backfill:run:{RUN}")
    client.zadd("backfill:runs", {RUN: 1})

    shop.ledger.forget_expired()

    until(lambda: not client.keys(f"backfill:run:{RUN}*"))
    assert client.zcard("backfill:runs") == 0
