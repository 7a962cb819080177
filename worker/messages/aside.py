"""Moves keys of a wrong type out of the way: every read of such a key is an error.

kombu takes such an answer for the end of the connection, and the worker ends, and the next one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import redis

from worker.messages.later import waiting

log = logging.getLogger(__name__)

ASIDE = "backfill:aside"
KNOWN = {"unacked": "hash", "unacked_index": "zset", "unacked_mutex": "string"}
"""kombu's keys for delivered messages → their types."""


def put_aside(client: redis.Redis, queues: Iterable[str]) -> int:
    """Rename what cannot be a queue, nor what kombu keeps beside it; how many keys that were.

    Each is said once: it is gone then.
    """
    renamed = 0
    types = {**KNOWN}
    for queue in queues:
        types |= {queue: "list", waiting(queue): "zset"}
    pipe = client.pipeline(transaction=False)
    for key in types:
        pipe.type(key)
    for (key, kind), answer in zip(types.items(), pipe.execute(), strict=True):
        found = _text(answer)
        if found not in (kind, "none"):
            client.rename(key, f"{ASIDE}:{key}")
            renamed += 1
            log.error("%s was a %s, and is none of ours: it is %s:%s now", key, found, ASIDE, key)
    return renamed


def _text(answer: Any) -> str:
    return answer.decode() if isinstance(answer, bytes) else str(answer)
