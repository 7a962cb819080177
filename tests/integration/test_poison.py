"""Messages and keys that would end every worker, one after the other: dropped, and said once."""

from __future__ import annotations

import json
from typing import Any

import kombu
import pytest

from planner.plan.states import RunState
from tests.integration.tiny import Tiny
from tests.waiting import until


def send(tiny: Tiny, **headers: Any) -> None:
    """A message that looks like one of ours, with headers of a stranger's."""
    usual = {"task": "backfill.step", "id": "1", "lang": "py", "argsrepr": "", "kwargsrepr": ""}
    with kombu.Connection(tiny.settings.redis_url) as connection:
        connection.Producer().publish(
            [["run-x", "step-x"], {}, {}], routing_key="a", headers={**usual, **headers}
        )


def still_works(tiny: Tiny, restarts: int) -> None:
    """A run goes through, and no worker died for it."""
    days = tiny.days(1)
    assert tiny.ended(tiny.enqueue(days)).state is RunState.COMPLETE
    assert tiny.worker.restarts == restarts


HEADERS: list[dict[str, Any]] = [
    {"timelimit": ["five", "minutes"]},
    {"timelimit": [{}, []]},
    {"timelimit": [-1, 0.0001]},
    {"timelimit": "ab"},
    {"timelimit": [1e308, 1e308]},
    {"eta": "soon"},
    {"eta": {"a": 1}},
    {"expires": "never"},
    {"expires": [1]},
    {"retries": "many"},
    {"id": ["a"]},
    {"root_id": {"a": 1}, "parent_id": [1], "group": [1], "chord": "x"},
    {"callbacks": 1, "errbacks": "x"},
    {"ignore_result": "x", "replaced_task_nesting": "x", "stamps": 1},
]
JUNK: list[Any] = ["no JSON", "null", "[]", "42", "[1, 2, 3]", '[{}, "", "a"]', b"\xff\xfe"]


def test_headers_are_checked_before_celery_acts_on_them(tiny: Tiny) -> None:
    restarts = tiny.worker.restarts

    for headers in HEADERS:
        send(tiny, **headers)

    still_works(tiny, restarts)


@pytest.mark.slow
@pytest.mark.parametrize("headers", HEADERS, ids=str)
def test_each_header_is_checked_by_itself(tiny: Tiny, headers: dict[str, Any]) -> None:
    """Says which one it is when the test before fails."""
    restarts = tiny.worker.restarts

    send(tiny, **headers)

    still_works(tiny, restarts)


def test_junk_among_delivered_messages_is_dropped(tiny: Tiny) -> None:
    restarts = tiny.worker.restarts
    tags = {f"tag-{n}": junk for n, junk in enumerate(JUNK)}

    tiny.client.hset("unacked", mapping=tags)
    tiny.client.zadd("unacked_index", dict.fromkeys(tags, 1))

    until(lambda: not any(tiny.client.hexists("unacked", tag) for tag in tags))
    assert [tag for tag in tags if tiny.client.zscore("unacked_index", tag) is not None] == []
    tiny.client.delete("a")  # where the last one was put
    still_works(tiny, restarts)


@pytest.mark.parametrize("key", ["a", "backfill:later:a"])
@pytest.mark.quick("a")
def test_a_key_of_another_type_is_put_aside(tiny: Tiny, key: str) -> None:
    until(lambda: tiny.client.exists("backfill:slots"))  # the worker has declared its queues
    restarts = tiny.worker.restarts
    tiny.client.delete(key, f"backfill:aside:{key}")

    tiny.client.set(key, "mine")

    if key == "a":  # before that a planner cannot send to it
        until(lambda: tiny.client.exists(f"backfill:aside:{key}"))
    still_works(tiny, restarts)
    assert tiny.client.get(f"backfill:aside:{key}") == "mine"
    said = tiny.worker.log.read_text().count(f"{key} was a string")
    assert said == 1, json.dumps(said)


@pytest.mark.parametrize("key", ["unacked", "unacked_index"])
@pytest.mark.parametrize("moment", ["idle", "running"])
@pytest.mark.quick("idle-unacked", "running-unacked_index")
def test_a_key_of_another_type_for_delivered_messages_ends_no_worker(
    tiny: Tiny, key: str, moment: str
) -> None:
    restarts = tiny.worker.restarts
    tiny.client.delete(f"backfill:aside:{key}")
    days = tiny.days(1)
    if moment == "running":
        run_id = tiny.enqueue(days)

    tiny.client.delete(key)
    tiny.client.set(key, "mine")

    if moment == "running":
        assert tiny.ended(run_id).state is RunState.COMPLETE
    still_works(tiny, restarts)  # an idle worker may not have read the key before
    assert tiny.client.exists(f"backfill:aside:{key}")
    assert tiny.client.type(key) in ("hash", "zset", "none")


@pytest.mark.slow
def test_a_key_of_another_type_ends_no_worker_that_starts(tiny: Tiny) -> None:
    until(lambda: tiny.client.exists("backfill:slots"))
    restarts = tiny.worker.restarts
    assert tiny.worker.process is not None

    # Given a worker that was killed, and a key in the place of a queue before the next one starts
    tiny.worker.process.kill()
    tiny.client.delete("a", "backfill:aside:a")
    tiny.client.set("a", "mine")

    # Then that one is there, and works
    until(lambda: tiny.worker.restarts == restarts + 1)
    until(lambda: tiny.client.exists("backfill:aside:a"))
    still_works(tiny, restarts + 1)
