"""What a worker holds that died comes back at once, wherever its host can tell that it died."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest
import redis

from planner.plan.states import Priority
from planner.settings import Settings
from tests.integration.test_transport import kombu_connection
from tests.integration.tiny import Tiny
from tests.waiting import until
from worker.ledger.neighbours import KEY, Neighbours
from worker.messages import transport
from worker.messages.delivered import HOLDER, restore_held
from worker.messages.lanes import LANES, list_of
from worker.processes import identity
from worker.processes.children import supervised
from worker.processes.identity import is_dead, owner

IDENTITY = "from worker.processes.identity import owner; print(owner())"


@pytest.fixture(scope="module")
def dead() -> str:
    """A process of this host that has ended."""
    done = subprocess.run([sys.executable, "-c", IDENTITY], capture_output=True, check=True)
    return done.stdout.decode().strip()


def test_what_a_dead_worker_held_is_put_back_once_and_ahead_of_others(
    client: redis.Redis,
    redis_settings: Settings,
    dead: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given messages that were delivered to a worker that died, to one that lives, to one of another
    # host, and to one of an earlier version; and what is no message
    holders = [dead, owner(), "another host|1|1", None]
    with kombu_connection(redis_settings) as connection:
        queue = connection.SimpleQueue("work")
        for holder in holders:
            queue.put({"held by": holder})
            with monkeypatch.context() as patched:
                patched.setattr(transport, "owner", lambda whose=holder: whose)
                patched.setattr(type(queue.consumer.channel.qos), "append", transport._append)
                queue.get(timeout=5)
        queue.put({"held by": "none"})
        client.hset("unacked", mapping={"junk": "{", "list": "[1, 2, 3]"})

        # When it is looked for, then one comes back, marked, and ahead of what waits
        assert (restore_held(client), restore_held(client)) == (1, 0)
        assert client.llen("work") == 2
        first = json.loads(client.lindex("work", -1))
        assert first["headers"]["redelivered"]
        assert HOLDER not in first["properties"]
        assert queue.get(timeout=5).payload == {"held by": dead}
        assert client.zcard("unacked_index") == len(holders)
        assert client.hexists("unacked", "junk")


def test_what_a_dead_worker_held_comes_back_to_the_lane_of_its_run(
    client: redis.Redis, redis_settings: Settings, dead: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lane = LANES[Priority.HIGH][1]
    with kombu_connection(redis_settings) as connection:
        queue = connection.SimpleQueue("work")
        queue.put({"n": 1}, priority=lane)
        monkeypatch.setattr(transport, "owner", lambda: dead)
        monkeypatch.setattr(type(queue.consumer.channel.qos), "append", transport._append)
        queue.get(timeout=5)

        assert restore_held(client) == 1
        assert client.llen(list_of("work", lane)) == 1


def test_a_neighbour_that_dies_is_noticed_without_a_question_to_redis(
    client: redis.Redis, dead: str
) -> None:
    now, _ = client.time()
    client.zadd(KEY, {dead: now + 60, "another host|1|1": now + 60, "long gone|1|1": now - 1})
    here = Neighbours(client)

    here.meet(seconds=60)
    assert set(client.zrange(KEY, 0, -1)) == {dead, "another host|1|1", owner()}
    assert (here.any_died(), here.any_died()) == (True, False)

    here.leave()
    assert client.zrange(KEY, 0, -1) == ["another host|1|1"]


def test_a_process_that_cannot_be_seen_is_not_taken_for_dead(
    dead: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`/proc` may be mounted so that it hides the processes of other users."""
    here = owner()
    monkeypatch.setattr(identity, "born", lambda pid: "")
    monkeypatch.setattr(identity.os.path, "exists", lambda path: False)
    assert not is_dead(here)
    assert is_dead(dead)


@pytest.mark.slow
def test_a_worker_takes_the_step_of_another_that_was_killed(tmp_path: Path) -> None:
    """Long before its message is visible again, and its lease has expired."""
    tiny = Tiny(tmp_path)
    patient = {"lease_seconds": 600, "visibility_seconds": 600, "reconcile_seconds": 30}
    tiny.settings = tiny.settings.model_copy(update=patient)
    first, second = tiny.worker_process(1), tiny.worker_process(2)
    (day,) = tiny.days(1)
    with tiny.up(worker=False), ExitStack() as stack:
        stack.enter_context(supervised([first]))
        tiny.hold(day)
        run_id = tiny.enqueue([day], ["a"])
        tiny.holder(day)
        stack.enter_context(supervised([second]))
        until(lambda: tiny.client.zcard(KEY) == 2)

        first.restart_seconds = 600
        assert first.process is not None
        psutil.Process(first.process.pid).kill()
        killed = time.monotonic()

        until(lambda: len(tiny.scripts(day)) == 2, seconds=30)
        print(f"another worker had the step after {time.monotonic() - killed:.1f} s")
        tiny.let_go(day)
        assert str(tiny.ended(run_id).state) == "complete"
        assert tiny.ledger.step(run_id, f"{day}/a").attempt == 2
