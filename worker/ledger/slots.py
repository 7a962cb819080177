"""The roll of workers: how many steps can run at once now, as far as workers have said so.

Every worker signs on when it is ready, again while it lives, and off when it ends; one that was
killed is struck off when it has been silent for `seconds`. A planner reads it in a millisecond,
where asking the workers themselves means to wait for the slowest.
"""

from __future__ import annotations

import redis

from worker.ledger.connection import now

KEY = "backfill:slots"


def sign_on(client: redis.Redis, worker: str, slots: int, *, seconds: float) -> None:
    """Say that a worker is there for some seconds more."""
    client.zadd(KEY, {f"{slots}|{worker}": now(client) + seconds})


def sign_off(client: redis.Redis, worker: str, slots: int) -> None:
    """Say that a worker takes no more steps."""
    client.zrem(KEY, f"{slots}|{worker}")


def slots_now(client: redis.Redis) -> int:
    """Slots of all workers that are there; 0 when none is."""
    client.zremrangebyscore(KEY, "-inf", now(client))
    return sum(int(str(member).partition("|")[0]) for member in client.zrange(KEY, 0, -1))
