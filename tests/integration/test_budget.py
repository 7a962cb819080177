"""Daily budgets on a real Redis: whoever asks, however many at once, they hold for any 24 hours."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import date

import pytest
import redis

from planner.pipeline.phase import Phase
from worker.ledger.budget import BUCKET_SECONDS, WINDOW_SECONDS, spend, spent, table_key

SHOP = "local:/srv/shop"
MANY, FEW = "marts.many", "marts.few"
DAYS = [date(2025, 3, n) for n in range(1, 5)]


def phase(**limits: int) -> Phase:
    """A phase of two tables with a budget; table → writes in a day."""
    tables = [
        {"name": name.replace("_", "."), "date": "day", "daily_writes": daily}
        for name, daily in limits.items()
    ]
    return Phase.model_validate({"name": "trend", "tables": tables})


def at(client: redis.Redis, table: str, *, ago: float, writes: int) -> None:
    """Writes that were counted some seconds ago."""
    bucket = int((client.time()[0] - ago) // BUCKET_SECONDS)
    client.hincrby(f"backfill:budget:{table_key(SHOP, table)}", str(bucket), writes)


def test_many_at_once_never_exceed_it(client: redis.Redis) -> None:
    limited = phase(marts_many=25)

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(lambda day: spend(client, SHOP, limited, [day]), range(60)))

    assert told.count(None) == 25
    assert spent(client, SHOP, [MANY]) == {MANY: 25}


def test_all_tables_of_a_phase_are_counted_or_none(client: redis.Redis) -> None:
    limited = phase(marts_many=100, marts_few=5)
    assert spend(client, SHOP, limited, DAYS) is None

    exceeded = spend(client, SHOP, limited, DAYS)

    assert exceeded is not None
    assert (exceeded.table, exceeded.daily_writes) == (FEW, 5)
    assert spent(client, SHOP, [MANY, FEW]) == {MANY: 4, FEW: 4}


@pytest.mark.parametrize(
    ("ago", "wait"),
    [
        (WINDOW_SECONDS - BUCKET_SECONDS, BUCKET_SECONDS),
        (WINDOW_SECONDS / 2, WINDOW_SECONDS / 2),
        (0, WINDOW_SECONDS),
    ],
)
def test_it_says_when_there_is_room(client: redis.Redis, ago: float, wait: float) -> None:
    # Given a budget of ten that was spent once, long ago, and the rest at two other times
    limited = phase(marts_many=10)
    at(client, MANY, ago=ago, writes=8)
    at(client, MANY, ago=-10 * BUCKET_SECONDS, writes=2)  # the latest to go

    exceeded = spend(client, SHOP, limited, DAYS)

    # Then room comes with the end of the earlier ones' bucket, and not before 24 hours
    assert exceeded is not None
    assert wait <= exceeded.seconds <= wait + BUCKET_SECONDS


def test_what_is_older_than_a_day_and_a_bucket_is_forgotten(client: redis.Redis) -> None:
    limited = phase(marts_many=4)
    at(client, MANY, ago=WINDOW_SECONDS + 2 * BUCKET_SECONDS, writes=4)

    assert spend(client, SHOP, limited, DAYS) is None
    assert spend(client, SHOP, limited, DAYS) is not None
    assert client.ttl(f"backfill:budget:{table_key(SHOP, MANY)}") > WINDOW_SECONDS


def test_a_table_without_a_budget_is_not_counted(client: redis.Redis) -> None:
    free = Phase.model_validate({"name": "trend", "tables": [{"name": MANY, "date": "day"}]})

    assert spend(client, SHOP, free, DAYS) is None
    assert client.keys("*") == []


@pytest.mark.parametrize("name", ["marts.trend", "my-project.marts.trend"])
def test_a_table_has_one_budget_under_both_its_names(name: str) -> None:
    assert table_key("bigquery:my-project", name) == "my-project.marts.trend"
