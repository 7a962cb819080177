"""The registry of workers: how many steps can run at once now.

Every worker registers when it is ready, renews that while it lives, and deregisters when it ends;
the entry of a killed worker expires after `seconds`. A planner reads the registry in a millisecond,
where Celery's `inspect` waits for the slowest worker.
"""

from __future__ import annotations

import redis

from worker.ledger.connection import now

KEY = "backfill:slots"


def sign_on(client: redis.Redis, worker: str, slots: int, *, seconds: float) -> None:
    """Register a worker, or renew its entry, for some seconds."""
    at = now(client)
    client.zremrangebyscore(KEY, "-inf", at)
    client.zadd(KEY, {f"{slots}|{worker}": at + seconds})


def sign_off(client: redis.Redis, worker: str, slots: int) -> None:
    """Deregister a worker: it takes no more steps."""
    client.zrem(KEY, f"{slots}|{worker}")


def slots_now(client: redis.Redis) -> int:
    """Slots of all registered workers; 0 when there is none."""
    there = client.zrangebyscore(KEY, now(client), "+inf")
    return sum(int(str(member).partition("|")[0]) for member in there)
