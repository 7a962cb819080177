"""The workers of the same host: the death of one is noticed by the others within a second.

Every worker renews its entry in Redis, and reads those of others; whether their processes live is
asked of the kernel, so that a look costs Redis nothing.
"""

from __future__ import annotations

import redis

from worker.ledger.connection import now
from worker.processes.identity import is_dead, owner

KEY = "backfill:processes"
"""Main processes of workers on all hosts → when their entries expire."""


class Neighbours:
    """The workers of this host that one of them knows of."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._known: set[str] = set()

    def meet(self, *, seconds: float) -> None:
        """Renew the entry of this process for some seconds, and read those of others."""
        at = now(self._client)
        pipe = self._client.pipeline(transaction=False)
        pipe.zremrangebyscore(KEY, "-inf", at)
        pipe.zadd(KEY, {owner(): at + seconds})
        pipe.zrange(KEY, 0, -1)
        self._known.update(map(str, pipe.execute()[-1]))

    def any_died(self) -> bool:
        """Whether one has died since it was last asked; asks Redis nothing, unless one has."""
        dead = {each for each in self._known if is_dead(each)}
        if dead:
            self._client.zrem(KEY, *dead)
            self._known -= dead
        return bool(dead)

    def leave(self) -> None:
        """Take this process out: it ends by itself."""
        self._client.zrem(KEY, owner())
