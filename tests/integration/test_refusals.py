"""A Redis that answers with an error is for a while what a Redis that is away is."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from planner.plan.states import RunState
from planner.report.report import Report
from planner.settings import Settings
from tests.integration.shop import RUN, Shop, day
from tests.integration.tiny import Tiny
from tests.waiting import until
from worker.ledger.connection import connect, forgetful
from worker.ledger.keys import RUNS, run_key
from worker.ledger.lease import Lease, Resource
from worker.ledger.refusals import REFUSALS, refusal
from worker.ledger.slots import slots_now
from worker.reconciler import reconcile
from worker.run.doctor import check_broker
from worker.run.finalize import finalize


@contextmanager
def full(client: redis.Redis) -> Iterator[None]:
    """Redis has no room."""
    client.config_set("maxmemory", 1)
    try:
        yield
    finally:
        client.config_set("maxmemory", 0)


@contextmanager
def replica(client: redis.Redis) -> Iterator[None]:
    """Redis is a replica, whose primary is away."""
    client.execute_command("REPLICAOF", "127.0.0.1", "1")
    try:
        yield
    finally:
        client.execute_command("REPLICAOF", "NO", "ONE")


@pytest.fixture(params=[full, replica])
def refuses(request: pytest.FixtureRequest) -> object:
    return request.param


@pytest.mark.parametrize("how", ["a command", "a script", "together"])
def test_a_worker_waits_until_it_passes(
    client: redis.Redis, redis_settings: Settings, refuses: object, how: str
) -> None:
    # Given a worker's client, and a Redis that takes no writes
    patient = connect(redis_settings, patient=True)
    lease = Lease(patient, [Resource(name="thing")], seconds=30)
    acts = {
        "a command": lambda: patient.hset("backfill:some", "field", "value"),
        "a script": lambda: lease.beat() or True,
        "together": lambda: lease.acquire_then(lambda more: more.commands.incr("backfill:n")),
    }
    lease.beat()  # it knows the script
    answers: list[object] = []
    thread = threading.Thread(target=lambda: answers.append(acts[how]()), daemon=True)
    refused = client.info("stats")["total_error_replies"]
    with refuses(client):  # type: ignore[operator]
        thread.start()
        if how != "a script":  # a beat without a lease writes nothing
            until(lambda: client.info("stats")["total_error_replies"] > refused)
            assert not answers

    # Then what it asked is done once the refusal has passed, once
    thread.join(30)
    assert len(answers) == 1
    if how == "together":
        assert answers == [[1]]
    patient.close()


@pytest.mark.parametrize("word", REFUSALS)
def test_each_refusal_has_words_of_its_own(word: str) -> None:
    said = {refusal(redis.ResponseError(text)) for text in (f"{word} no", f"ERR call: -{word} no")}

    assert said == {REFUSALS[word]}
    assert refusal(redis.ResponseError("WRONGTYPE Operation")) is None


def test_a_planner_is_told_what_to_do(client: redis.Redis) -> None:
    with full(client), pytest.raises(redis.OutOfMemoryError) as told:
        client.set("more", "x")

    assert refusal(told.value) == "Redis is full: raise its maxmemory"

    with replica(client):
        client.config_set("replica-serve-stale-data", "no")
        try:
            with pytest.raises(redis.ResponseError) as told:
                client.get("more")
        finally:
            client.config_set("replica-serve-stale-data", "yes")
    assert refusal(told.value) == REFUSALS["MASTERDOWN"]


@pytest.mark.quick("full")
def test_workers_outlive_a_redis_that_refuses(tiny: Tiny, refuses: object) -> None:
    # Given a step that runs, beside a free slot
    restarts, (day_of_it,) = tiny.worker.restarts, tiny.days(1)
    tiny.hold(day_of_it)
    run_id = tiny.enqueue([day_of_it])
    until(lambda: tiny.ticks(day_of_it))

    # When it ends while Redis takes no writes: neither its settlement, nor its acknowledgement
    with refuses(tiny.client):  # type: ignore[operator]
        refused = tiny.client.info("stats")["total_error_replies"]
        tiny.let_go(day_of_it)
        until(lambda: tiny.client.info("stats")["total_error_replies"] > refused + 5)

    # Then the run goes on, and no worker died for it
    assert tiny.ended(run_id).state is RunState.COMPLETE
    assert tiny.worker.restarts == restarts


def test_reading_a_run_writes_nothing(shop: Shop, client: redis.Redis, refuses: object) -> None:
    # Given a run whose deadline has passed, and one that has expired
    shop.lose_sessions(day(11))
    shop.register(shop.plan())
    shop.ledger.move(RUN, RunState.RUNNING, [RunState.INCOMPLETE])
    client.hset(run_key(RUN), "deadline", 1)
    client.zadd(RUNS, {"run-of-old": 1})

    # Then they are read where nothing can be written
    with refuses(client):  # type: ignore[operator]
        assert shop.ledger.require(RUN).state is RunState.CANCELLING
        assert [run.id for run in shop.ledger.runs()] == [RUN]
        assert slots_now(client) == 0
    shop.ledger.forget_expired()
    assert client.zscore(RUNS, "run-of-old") is None


@pytest.mark.parametrize("what", ["plan", "steps", "some steps"])
@pytest.mark.parametrize("who", ["the reconciler", "the finalization"])
@pytest.mark.quick("the reconciler-plan", "the finalization-steps")
def test_a_run_whose_plan_or_steps_are_gone_is_lost_by_name(
    shop: Shop, client: redis.Redis, tmp_path: Path, what: str, who: str
) -> None:
    heard = tmp_path / "heard"
    tell = f"sh -c 'cat >> {heard}; echo >> {heard}'"
    shop.context.settings = shop.context.settings.model_copy(update={"notify": tell})
    shop.lose_sessions(day(11))
    shop.register(shop.plan())
    shop.ledger.move(RUN, RunState.RUNNING, [RunState.INCOMPLETE])
    if what == "some steps":
        client.hdel(run_key(RUN, "steps"), str(client.hkeys(run_key(RUN, "steps"))[0]))
    else:
        client.delete(run_key(RUN, what))

    if who == "the reconciler":
        reconcile(shop.context)
    else:
        assert finalize(shop.context, RUN) == "lost"

    run = shop.ledger.require(RUN)
    assert run.state is RunState.FAILED
    assert run.note.startswith("lost: Redis has dropped")
    assert shop.ledger.held(run.pipeline, run.warehouse_id) == {}
    assert client.ttl(run_key(RUN)) > 0
    # It has a report, and people are told once.
    report = Report.model_validate_json(str(shop.ledger.report(RUN)))
    assert client.ttl(run_key(RUN, "report")) > 0
    assert {each.phase for each in report.failures} == {"sessionise", "aggregate"}
    folder = shop.context.settings.folder("reports") / RUN
    assert "lost: Redis has dropped" in (folder / "report.md").read_text()
    assert "lost: Redis has dropped" in (folder / "report.html").read_text()
    (told,) = [json.loads(line) for line in heard.read_text().splitlines()]
    assert (told["event"], told["run_id"], told["state"]) == ("run_ended", RUN, "failed")
    assert "planner enqueue --gaps --start 2025-03-11" in told["text"]
    reconcile(shop.context)
    assert len(heard.read_text().splitlines()) == 1


def test_a_run_that_is_gone_before_its_time_is_named(shop: Shop, client: redis.Redis) -> None:
    client.zadd(RUNS, {"run-gone": shop.ledger.now(), "run-of-old": 1})
    told: list[Exception] = []

    assert shop.ledger.runs(told.append) == []

    assert [str(each).partition(":")[0] for each in told] == ["run-gone is lost"]


@pytest.mark.parametrize(
    ("setting", "value", "usual", "told"),
    [
        ("maxmemory-policy", "allkeys-lru", "noeviction", "drops steps and plans"),
        ("appendonly", "no", "yes", "forgotten every run"),
    ],
)
def test_a_redis_that_forgets_is_told_of(
    client: redis.Redis, shop: Shop, setting: str, value: str, usual: str, told: str
) -> None:
    client.config_set(setting, value)
    try:
        found = forgetful(client)
        checks = [check for check in check_broker(shop.context) if not check.ok]
    finally:
        client.config_set(setting, usual)

    assert [told in detail for detail, _ in found] == [True]
    assert [check.detail for check in checks] == [found[0][0]]
    assert forgetful(client) == []
