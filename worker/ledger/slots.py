"""The registry of workers: how many steps can run at once now.

Every worker registers when it is ready, renews that while it lives, and deregisters when it ends;
the entry of a killed worker expires after `seconds`. A planner reads the registry in a millisecond,
where Celery's `inspect` waits for the slowest worker.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import redis
from pydantic import ValidationError

from planner.data import Data
from worker.ledger.connection import now
from worker.ledger.record import reading

if TYPE_CHECKING:
    from planner.pipeline.pipeline import Pipeline
    from planner.plan.plan import Plan
    from worker.ledger.record import RunRecord

KEY = "backfill:slots"
HAVE = "backfill:workers"
"""Worker → what it has."""


_ENTRY = re.compile(r"[0-9]{1,6}\|.+")  # what is none, no worker has written


class Member(Data):
    """What a worker has: a run is served by those that have its pipeline file and its warehouse."""

    host: str
    files: tuple[str, ...]
    """Its pipeline files, as its machine names them."""
    made: tuple[tuple[str, str], ...]
    """Name and checksum of each pipeline that it can serve."""
    warehouse: str
    warehouse_id: str
    queues: tuple[str, ...]
    """Those that it takes steps from."""

    def has_file(self, run: RunRecord | Plan) -> bool:
        """Whether it has the pipeline file that a run was planned with."""
        return (run.pipeline, run.pipeline_checksum) in self.made

    def has_warehouse(self, run: RunRecord | Plan) -> bool:
        """Whether its warehouse is the run's."""
        known = self.warehouse_id and self.warehouse_id == run.warehouse_id
        return bool(known) or self.warehouse == run.warehouse


def pipeline_version(pipeline: Pipeline) -> tuple[str, str]:
    """The version of a pipeline file: the pipeline's name, and the file's checksum."""
    return pipeline.name, pipeline.checksum


def sign_on(
    client: redis.Redis, worker: str, slots: int, *, seconds: float, has: Member | None = None
) -> None:
    """Register a worker, or renew its entry, for some seconds."""
    at = now(client)
    gone = client.zrangebyscore(KEY, "-inf", at)
    pipe = client.pipeline()
    if gone:
        pipe.hdel(HAVE, *(_name(member) for member in gone))
    pipe.zremrangebyscore(KEY, "-inf", at)
    pipe.zadd(KEY, {f"{slots}|{worker}": at + seconds})
    if has is not None:
        pipe.hset(HAVE, worker, has.model_dump_json())
    pipe.execute()


def sign_off(client: redis.Redis, worker: str, slots: int) -> None:
    """Deregister a worker: it takes no more steps."""
    client.zrem(KEY, f"{slots}|{worker}")
    client.hdel(HAVE, worker)


def slots_now(client: redis.Redis) -> int:
    """Slots of all registered workers; 0 when there is none."""
    there, _ = _registry(client)
    return sum(int(member.partition("|")[0]) for member in there)


def members_now(client: redis.Redis) -> dict[str, Member | None]:
    """Worker → what it has; None of one that does not say, or says it in another version's way."""
    there, told = _registry(client)
    return {name: _member(told.get(name)) for name in map(_name, there)}


def _registry(client: redis.Redis) -> tuple[list[str], dict[str, str]]:
    """The entries that have not expired by Redis's clock, and what workers say: in one round trip,
    since status and the page ask at every look."""
    pipe = client.pipeline(transaction=False)
    pipe.time()
    pipe.zrange(KEY, 0, -1, withscores=True)
    pipe.hgetall(HAVE)
    with reading("the list of workers"):
        (seconds, micros), entries, told = pipe.execute()
    at = seconds + micros / 1e6
    there = [str(member) for member, until in entries if until >= at]
    return [member for member in there if _ENTRY.fullmatch(member)], told


def _name(member: object) -> str:
    return str(member).partition("|")[2]


def _member(text: object) -> Member | None:
    try:
        return None if text is None else Member.model_validate_json(str(text))
    except ValidationError:
        return None
