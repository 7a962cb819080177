"""What is in the broker: which runs and steps still have a message, queued or delivered.

Reads kombu's private keys, one list per queue and the hash `unacked` of delivered messages, and the
delayed messages of `worker.messages.later`. Depends on the pinned kombu, as
`worker.messages.transport` does.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import redis
from kombu.transport.redis import Channel
from redis.client import NEVER_DECODE

from worker.messages.lanes import list_of
from worker.messages.later import waiting, wake

AT_ONCE = 500  # messages per round trip
UNACKED = "unacked"  # kombu's name for the hash of delivered messages
UNACKED_INDEX = "unacked_index"  # and for when each was delivered, by its worker's clock
AHEAD_SECONDS = 5.0  # a worker's clock so much ahead of Redis' is wrong
FINAL = ""  # the finalization, where a step would stand


def steps_with_messages(client: redis.Redis, queues: Iterable[str]) -> dict[str, set[str]]:
    """Run → the step of every message, and FINAL where the run's finalization has one."""
    found: dict[str, set[str]] = {}
    for whose in map(_whose, _raw(client, queues)):
        if whose is not None:
            found.setdefault(whose[0], set()).add(whose[1])
    return found


def call_in(client: redis.Redis, queues: Iterable[str], runs: Collection[str]) -> None:
    """Make the delayed messages of some runs due now."""
    for queue in _there(client, queues) if runs else ():
        for message, _ in client.zscan_iter(waiting(queue), count=AT_ONCE):
            whose = _whose(str(message))
            if whose is not None and whose[0] in runs:
                client.zadd(waiting(queue), {str(message): 0}, xx=True)
    if runs:
        wake(client)


def change_lane(
    client: redis.Redis, run_id: str, queues: Iterable[str], *, old: int, new: int
) -> None:
    """Move the queued messages of a run to another lane, in their order.

    Those that are delayed or delivered follow when they come by (`worker.messages.lanes.follow`).
    What is lost between two round trips is resent by the reconciler.
    """
    for queue in _there(client, [list_of(queue, old) for queue in queues] if old != new else ()):
        there = list(_texts(_undecoded(client, queue, 0, -1)))
        own = [raw for raw in reversed(there) if (_whose(raw) or ("",))[0] == run_id]
        into = list_of(queue.partition(Channel.sep)[0], new)
        for first in range(0, len(own), AT_ONCE):
            batch = own[first : first + AT_ONCE]
            taken, moved = (client.pipeline(transaction=False) for _ in range(2))
            for raw in batch:
                taken.lrem(queue, -1, raw)
            for raw, is_taken in zip(batch, taken.execute(), strict=True):
                if is_taken:  # and not delivered meanwhile
                    message = json.loads(raw)
                    message["properties"]["priority"] = new
                    moved.lpush(into, json.dumps(message))
            moved.execute()


def correct_times(client: redis.Redis) -> None:
    """Correct delivery times that lie in the future: kombu would restore such a message of a dead
    worker only after that time."""
    now, _ = client.time()
    for tag in client.zrangebyscore(UNACKED_INDEX, now + AHEAD_SECONDS, "+inf"):
        client.zadd(UNACKED_INDEX, {str(tag): now}, xx=True)


def _whose(raw: str) -> tuple[str, str] | None:
    """(run, step) of a message, or (run, FINAL); None for any other message."""
    try:
        message = json.loads(raw)
        if isinstance(message, list):  # delivered: [message, exchange, routing key]
            message = message[0]
        task = message["headers"]["task"]
        run_id, *rest = map(str, json.loads(base64.b64decode(message["body"]))[0])
    except (ValueError, LookupError, TypeError):
        return None
    if task == "backfill.finalize":
        return run_id, FINAL
    return (run_id, rest[0]) if rest else None


def _raw(client: redis.Redis, queues: Iterable[str]) -> Iterator[str]:
    for queue in _there(client, queues):
        # In the order in which messages move, so that none is missed on its way.
        for message, _ in client.zscan_iter(waiting(queue), count=AT_ONCE):
            yield str(message)
        first = 0
        while batch := _undecoded(client, queue, first, first + AT_ONCE - 1):
            yield from _texts(batch)
            first += AT_ONCE
    for _, value in client.hscan_iter(UNACKED, count=AT_ONCE):
        yield str(value)


def _there(client: redis.Redis, queues: Iterable[str]) -> list[str]:
    """The lists that hold messages, or have delayed ones: few of many."""
    asked = list(queues)
    pipe = client.pipeline(transaction=False)
    for queue in asked:
        pipe.exists(queue, waiting(queue))
    return [queue for queue, there in zip(asked, pipe.execute(), strict=True) if there]


def _undecoded(client: redis.Redis, queue: str, first: int, last: int) -> list[bytes]:
    """Part of a list, in which others may have put what is not UTF-8: decoded, it would be a
    failure of the whole answer."""
    ask: Any = client.execute_command
    found: list[bytes] = ask("LRANGE", queue, first, last, **{NEVER_DECODE: True})
    return found


def _texts(batch: Iterable[bytes]) -> Iterator[str]:
    return (each.decode("utf-8", "replace") for each in batch)
