"""What is in the broker: which runs and chunks still have a message, waiting or being worked on.

Reads kombu's own keys, one list per queue and the hash `unacked` of delivered messages, and ours,
where messages wait that are to come later.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from typing import Any

import redis

from worker.later import waiting

AT_ONCE = 500  # messages per round trip
UNACKED = "unacked"  # kombu's name for the hash of delivered messages
UNACKED_INDEX = "unacked_index"  # and for when each was delivered, by its worker's clock
AHEAD_SECONDS = 5.0  # a clock so much ahead of Redis's is wrong
FINAL = ""  # what stands for the finalization, in the place of a chunk


def chunks_with_messages(client: redis.Redis, queues: Iterable[str]) -> set[tuple[str, str]]:
    """(run, chunk) of every message, and (run, FINAL) where the run's finalization has one."""
    found = set()
    for raw in _raw(client, queues):
        try:
            message = json.loads(raw)
            if isinstance(message, list):  # delivered: [message, exchange, routing key]
                message = message[0]
            task = message["headers"]["task"]
            run_id, *rest = map(str, json.loads(base64.b64decode(message["body"]))[0])
        except (ValueError, LookupError, TypeError):
            continue  # not a message of ours
        if task == "backfill.finalize":
            found.add((run_id, FINAL))
        elif rest:
            found.add((run_id, rest[0].rpartition("/")[0]))
    return found


def correct_times(client: redis.Redis) -> None:
    """Let no message be delivered in the future: it would stay with a dead worker until then."""
    now, _ = client.time()
    for tag in client.zrangebyscore(UNACKED_INDEX, now + AHEAD_SECONDS, "+inf"):
        client.zadd(UNACKED_INDEX, {str(tag): now}, xx=True)


def _raw(client: redis.Redis, queues: Iterable[str]) -> Iterator[str]:
    for queue in queues:
        # In the order in which messages move, so that none is seen nowhere.
        for message, _ in client.zscan_iter(waiting(queue), count=AT_ONCE):
            yield str(message)
        first = 0
        while batch := client.lrange(queue, first, first + AT_ONCE - 1):
            yield from _texts(batch)
            first += AT_ONCE
    for _, value in client.hscan_iter(UNACKED, count=AT_ONCE):
        yield str(value)


def _texts(batch: Any) -> Iterator[str]:
    return (str(each) for each in batch)
