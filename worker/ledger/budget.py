"""The daily budgets of tables: writes are counted before they are made, and never exceed them.

BigQuery limits the changes of a table per day, counts failed loads too, and gives quota back over
the following 24 hours [https://cloud.google.com/bigquery/docs/optimize-load-jobs]. So the day here
is a sliding window of 24 hours, not a date: at no midnight, in no time zone, does a table get two
budgets in a row. Writes are counted in buckets of ten minutes, and leave the window a bucket late.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import redis

from worker.ledger.connection import script

if TYPE_CHECKING:
    from planner.pipeline.phase import Phase

PREFIX = "backfill:budget"
WINDOW_SECONDS = 86_400
BUCKET_SECONDS = 600  # 145 numbers per table, and at most ten minutes lost to rounding


@dataclass(frozen=True, kw_only=True)
class Exceeded:
    """A table has no room for the writes."""

    table: str
    daily_writes: int
    seconds: float
    """Until it has room."""

    def __str__(self) -> str:
        return f"room in the budget of {self.table} ({self.daily_writes:,} writes in 24 hours)"


def spend(
    client: redis.Redis, warehouse: str, phase: Phase, dates: Collection[object]
) -> Exceeded | None:
    """Count the writes of a phase over some dates; None when they are within every budget.

    All tables of the phase are counted, or none.
    """
    limited = [spec for spec in phase.tables if spec.daily_writes is not None]
    if not limited:
        return None
    numbers = [
        number
        for spec in limited
        for number in (len(dates) * spec.writes_per_date, spec.daily_writes or 0)
    ]
    answer = script(client, "spend")(
        keys=[_key(warehouse, spec.name) for spec in limited],
        args=[WINDOW_SECONDS, BUCKET_SECONDS, *numbers],
    )
    if not answer:
        return None
    spec = limited[answer[0] - 1]
    return Exceeded(table=spec.name, daily_writes=spec.daily_writes or 0, seconds=float(answer[1]))


def spent(client: redis.Redis, warehouse: str, tables: Iterable[str]) -> dict[str, int]:
    """Table → writes that its window holds now."""
    oldest = (int(client.time()[0]) - WINDOW_SECONDS) // BUCKET_SECONDS
    return {
        table: sum(
            int(count)
            for bucket, count in client.hgetall(_key(warehouse, table)).items()
            if int(bucket) >= oldest
        )
        for table in tables
    }


def table_key(warehouse: str, table: str) -> str:
    """One text for one table, however the pipeline files of one warehouse name it.

    In `bigquery:my-project`, `dataset.table` is `my-project.dataset.table`.
    """
    kind, _, place = warehouse.partition(":")
    if kind == "bigquery":
        return table if table.count(".") == 2 else f"{place}.{table}"
    return f"{warehouse}:{table}"


def _key(warehouse: str, table: str) -> str:
    return f"{PREFIX}:{table_key(warehouse, table)}"
