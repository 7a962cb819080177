"""The reconciler: what has no message is sent again, once, whoever looks and however often."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator

import pytest

from planner.plan.states import RunState
from tests.commands import planner
from tests.integration.ledgers import end, rename
from tests.integration.shop import Shop
from tests.integration.tiny import Tiny
from tests.waiting import until
from worker import janitor
from worker.context import Context
from worker.ledger.slots import KEY, sign_off, sign_on
from worker.messages.lanes import list_of
from worker.messages.later import Delivery, deliver, put_off, waiting
from worker.reconciler import LOOKED, reconcile_in_turn


@pytest.fixture(scope="module")
def idle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tiny]:
    """Redis and a planner, and no worker."""
    world = Tiny(tmp_path_factory.mktemp("idle"))
    with world.up(worker=False):
        yield world


def lost(tiny: Tiny, chunks: int) -> str:
    """A run that is under way, and whose messages are all gone."""
    tiny.client.delete("a", "final")
    run_id = tiny.register(tiny.days(chunks))
    tiny.ledger.move(run_id, RunState.RUNNING, [RunState.INCOMPLETE])
    return run_id


def test_what_is_lost_is_sent_once_by_however_many_reconcilers_at_once(idle: Tiny) -> None:
    run_id = lost(idle, 5)

    # At first it is only noted: it could be on its way
    assert idle.say("reconcile", "8") == "0"

    # A while later each chunk's message is sent by one of them, and then not again
    noted, _ = idle.client.time()
    until(lambda: idle.client.time()[0] > noted + 1)
    assert idle.say("reconcile", "8") == "5"
    assert idle.client.llen("a") == 5
    assert idle.say("reconcile", "8") == "0"
    assert idle.client.llen("a") == 5
    end(idle.ledger, run_id)


def test_a_fleet_looks_twice_in_the_time_that_the_setting_says_however_many_it_is(
    idle: Tiny,
) -> None:
    """A look reads every message: by each of fifty workers it would keep one core busy."""
    run_id = lost(idle, 1)
    noted = f"backfill:run:{run_id}:missing"
    settings = idle.settings.model_copy(update={"reconcile_seconds": 3600})
    idle.client.delete(LOOKED)
    looked = 0
    for _ in range(20):
        one = Context(settings, patient=False)
        reconcile_in_turn(one)
        looked += idle.client.delete(noted)
        one.redis.close()
    assert looked == 1
    assert 0 < idle.client.pttl(LOOKED) <= 3600 * 1e3 / 2
    idle.client.delete(LOOKED)
    end(idle.ledger, run_id)


def test_a_turn_that_fails_does_not_end_the_thread_that_heals(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*ignored: object) -> None:
        raise RuntimeError("no such thing")

    monkeypatch.setattr(janitor.orphans, "reap", fails)
    monkeypatch.setattr(janitor, "tidy_daily", fails)
    settings = shop.context.settings.model_copy(update={"reconcile_seconds": 0.2})
    context = Context(settings, patient=False)
    thread = janitor.Janitor(context, "worker-1@h", 1, Delivery(context.redis, []))
    thread._takes_all = False  # it tells no worker of queues
    thread.start()
    try:
        for _ in range(3):
            until(lambda: context.redis.zcard(KEY))
            context.redis.delete(KEY)
    finally:
        thread.stop()
        thread.join(10)
    assert "a turn of the janitor failed" in caplog.text


def test_a_process_that_is_forked_during_a_turn_does_not_hang() -> None:
    """A pool process that dies is replaced by a fork: of what the janitor's thread holds then, it
    has a copy that is never given back."""
    lock, begun = threading.Lock(), threading.Event()

    def turn() -> None:
        with lock:
            begun.set()
            time.sleep(0.5)  # so long the lock is held

    thread = threading.Thread(target=janitor.Janitor._quietly, args=(turn,))
    thread.start()
    begun.wait()
    pid = os.fork()
    if not pid:
        os._exit(not lock.acquire(timeout=2))
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_chunk_goes_on_where_it_was(idle: Tiny) -> None:
    run_id = lost(idle, 1)
    (step, *_) = idle.states(run_id)
    first = step.rpartition("/")[0] + "/a"
    idle.client.hset(f"backfill:run:{run_id}:steps", first, "succeeded")

    until(lambda: idle.say("reconcile", "1") != "0")

    assert (idle.client.llen("a"), idle.client.llen("b")) == (0, 1)
    end(idle.ledger, run_id)


def test_a_run_whose_steps_have_ended_is_finalized(idle: Tiny) -> None:
    run_id = lost(idle, 1)
    for step in idle.states(run_id):
        idle.client.hset(f"backfill:run:{run_id}:steps", step, "succeeded")

    until(lambda: idle.say("reconcile", "4") != "0")

    assert idle.client.llen("final") == 1
    end(idle.ledger, run_id)


def test_messages_of_a_cancelled_run_are_called_in_and_never_sent_twice(idle: Tiny) -> None:
    """They may have been put off for minutes, and workers may be away for days."""

    def sweep() -> None:
        begun, _ = idle.client.time()
        until(lambda: idle.client.time()[0] > begun + 1)  # longer than what is lost is waited for
        assert idle.say("reconcile", "1") == "0"

    # Given a worker that is away for a while,
    sign_on(idle.client, "away", 1, seconds=600)
    # and two messages of a run that is being cancelled, and one of another, put off for long
    idle.client.delete("a", "final")
    run_id, other = idle.enqueue(idle.days(2)), idle.enqueue(idle.days(1))
    idle.ledger.move(run_id, RunState.CANCELLING, [RunState.RUNNING])
    beside = list_of("a", idle.ledger.require(other).lane)
    for place in ("a", beside):
        put_off(idle.client, place, str(idle.client.lpop(place)), 600)
    assert (idle.client.llen("a"), idle.client.llen(beside)) == (1, 0)

    # When it is looked at again and again, and idle takes any of them
    for _ in range(3):
        sweep()

    # Then there are no more of them, and those of the run are due
    deliver(idle.client, ["a", beside])
    assert (idle.client.llen("a"), idle.client.zcard(waiting("a"))) == (2, 0)
    assert (idle.client.llen(beside), idle.client.zcard(waiting(beside))) == (0, 1)
    end(idle.ledger, run_id)
    end(idle.ledger, other)
    sign_off(idle.client, "away", 1)
    idle.client.delete("a", waiting(beside))


def test_status_reconciles(idle: Tiny) -> None:
    run_id = lost(idle, 1)

    def status() -> dict[str, object]:
        environment = idle.child_environment
        done = planner("status", run_id, "--json", environment=environment, cwd=idle.place)
        assert done.code == 0, done.err
        found: dict[str, object] = done.json
        return found

    assert status()["state"] == "running"
    assert idle.client.llen("a") == 0
    until(lambda: status() and idle.client.llen("a"))
    assert idle.client.llen("a") == 1
    end(idle.ledger, run_id)


def test_a_run_that_nobody_can_read_is_not_in_the_way_of_others(idle: Tiny) -> None:
    broken, run_id = lost(idle, 1), lost(idle, 1)
    for chunk in idle.client.hkeys(f"backfill:run:{broken}:chunks"):
        idle.client.hset(f"backfill:run:{broken}:chunks", chunk, '{"of": "another version"}')

    until(lambda: idle.say("reconcile", "1") != "0")

    assert idle.client.llen("a") == 1
    end(idle.ledger, broken)
    end(idle.ledger, run_id)


def test_a_phase_that_the_file_does_not_name_any_more_is_in_nobody_s_way(idle: Tiny) -> None:
    renamed, run_id = lost(idle, 1), lost(idle, 1)
    rename(idle.ledger, renamed, "a")

    sent = [0]  # by each look: both are lost for so long at one of them, or at two

    def both() -> bool:
        sent.append(int(idle.say("reconcile", "1")))
        return sum(sent) >= 2

    until(both)
    assert sum(sent) == 2

    # Its steps go to any worker, which settles them
    assert (idle.client.llen("a"), idle.client.llen("final")) == (1, 1)
    end(idle.ledger, renamed)
    end(idle.ledger, run_id)


def test_a_mistake_of_ours_with_one_run_is_not_in_the_way_of_others(idle: Tiny) -> None:
    broken, run_id = lost(idle, 1), lost(idle, 1)
    idle.client.hset(f"backfill:run:{broken}:missing", "x", "no number")

    until(lambda: idle.say("reconcile", "1") != "0")

    assert idle.client.llen("a") == 1
    end(idle.ledger, broken)
    end(idle.ledger, run_id)
