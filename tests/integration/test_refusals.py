"""A Redis that answers with an error is for a while what a Redis that is away is."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path

import pytest
import redis

from planner.plan.states import RunState
from planner.report.report import Report
from planner.settings import Settings
from tests.integration.shop import RUN, Shop, day
from tests.integration.tiny import Tiny
from tests.waiting import until
from worker.finalization.finalize import finalize
from worker.ledger.connection import connect, forgetful
from worker.ledger.keys import RUNS, run_key
from worker.ledger.lease import Lease, Resource
from worker.ledger.refusals import REFUSALS, refusal
from worker.ledger.slots import slots_now
from worker.processes.children import supervised
from worker.reconciler import reconcile
from worker.status.doctor import check_broker


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


def test_workers_outlive_a_redis_that_refuses(tiny: Tiny) -> None:
    # Given a step that runs, beside a free slot
    restarts, (day_of_it,) = tiny.worker.restarts, tiny.days(1)
    tiny.hold(day_of_it)
    run_id = tiny.enqueue([day_of_it])
    until(lambda: tiny.ticks(day_of_it))

    # When it ends while Redis takes no writes: neither its settlement, nor its acknowledgement
    _ends_while_redis_says("OOM", tiny, day_of_it)

    # Then the run goes on, and no worker died for it
    assert tiny.ended(run_id).state is RunState.COMPLETE
    assert tiny.worker.restarts == restarts


@pytest.mark.slow
def test_one_worker_outlives_every_refusal_in_turn(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    # Given a worker, and a run of a step for each refusal; its lease outlives the longest
    tiny = Tiny(tmp_path_factory.mktemp("refused"))
    tiny.settings = tiny.settings.model_copy(update={"lease_seconds": 20})
    worker = tiny.worker_process(1)
    days = tiny.days(len(REFUSED))
    with tiny.up(worker=False), supervised([worker]):
        for each in days:
            tiny.hold(each)
        run_id = tiny.enqueue(days)

        # When a step ends while Redis refuses, and Redis is given back, time after time
        for word in REFUSED:
            until(lambda: _at_work(tiny, days))
            _ends_while_redis_says(word, tiny, _at_work(tiny, days)[0])

        # Then the run is complete, each step of it was run once, and no worker died
        record = tiny.ended(run_id, seconds=120)
        assert record.state is RunState.COMPLETE
        assert record.endings == 1
        assert {step.attempt for step in tiny.ledger.step_records(run_id)} == {1}
        assert [len(tiny.scripts(each)) for each in days] == [1] * len(days)
        assert worker.restarts == 0


@contextmanager
def without_its_disk(tiny: Tiny) -> Iterator[None]:
    """Redis cannot save: a folder is in the place of its file."""
    in_the_way, client = tiny.place / "dump.rdb", tiny.client
    in_the_way.mkdir()
    client.config_set("save", "3600 1000000")
    client.bgsave()
    until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "err")
    try:
        yield
    finally:
        in_the_way.rmdir()
        client.bgsave()
        until(lambda: client.info("persistence")["rdb_last_bgsave_status"] == "ok")
        client.config_set("save", "")


@contextmanager
def without_its_primary(tiny: Tiny) -> Iterator[None]:
    """Redis is a replica that answers nothing, as long as its primary is away."""
    tiny.client.config_set("replica-serve-stale-data", "no")
    try:
        with replica(tiny.client):
            yield
    finally:
        tiny.client.config_set("replica-serve-stale-data", "yes")


@contextmanager
def unblocking(tiny: Tiny) -> Iterator[None]:
    """Redis ends the call by which the worker waits for a message."""

    def unblocked() -> bool:
        waits = [each["id"] for each in tiny.client.client_list() if each["cmd"] == "brpop"]
        return sum(tiny.client.execute_command("CLIENT UNBLOCK", one, "ERROR") for one in waits) > 0

    until(unblocked)
    yield


REFUSED = {
    "OOM": lambda tiny: full(tiny.client),
    "READONLY": lambda tiny: replica(tiny.client),
    "MISCONF": without_its_disk,
    "MASTERDOWN": without_its_primary,
    "UNBLOCKED": unblocking,
}
"""Redis's word → a block in which it says it."""


def _at_work(tiny: Tiny, days: list[date]) -> list[date]:
    """Days of which a script works and has not been let go."""
    return [each for each in days if tiny.ticks(each) and tiny.is_held(each)]


def _ends_while_redis_says(word: str, tiny: Tiny, day_of_it: date) -> None:
    """Let a step end while Redis refuses, until its worker was told so several times."""

    def told() -> int:
        return int(tiny.client.info("errorstats").get(f"errorstat_{word}", {}).get("count", 0))

    before, times = told(), 1 if word == "UNBLOCKED" else 4
    with REFUSED[word](tiny):
        tiny.let_go(day_of_it)
        until(lambda: told() >= before + times)


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


def test_a_fleet_calls_a_run_lost_whose_steps_an_evicting_redis_dropped(tiny: Tiny) -> None:
    # Given a run of which one step is at work, and another waits
    day_of_it, other = tiny.days(2)
    tiny.hold(day_of_it)
    run_id = tiny.enqueue([day_of_it, other], ["a", "b"])
    until(lambda: tiny.ticks(day_of_it))

    # When all that Redis knew of them is gone
    tiny.client.delete(run_key(run_id, "steps"))
    tiny.let_go(day_of_it)

    # Then the run has ended, by name, and holds nothing
    record = tiny.ended(run_id)
    assert record.state is RunState.FAILED
    assert record.note.startswith("lost: Redis has dropped")
    assert run_id not in tiny.ledger.held(record.pipeline, record.warehouse_id).values()


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
