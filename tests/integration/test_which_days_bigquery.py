"""What sources are believed in BigQuery: by what the file expects, and by their first rows."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest

from planner.sandbox.workers import environment_of
from tests.bigquery_server.rest import BigQueryServer
from tests.commands import here
from tests.integration.allyear import AllYear, at, jan, noon


@dataclass(frozen=True, kw_only=True)
class Row:
    """Twenty days of a shop, what is done to them, and what is said of them."""

    spoil: Callable[[AllYear], None]
    orders: str = ""
    says: str
    gaps: set[tuple[str, str, str]]
    runs: set[str]
    """Dates that `enqueue --gaps` would run."""


def keep_ten_days(shop: AllYear) -> None:
    shop.lose("orders", jan(1), jan(10))
    for day in (6, 20):
        shop.lose("trend", jan(day))


def lose_a_store(shop: AllYear) -> None:
    shop.fill("schedule", jan(1), jan(20))
    shop.lose("orders", jan(18))
    shop.fill("orders", jan(18), stores=11)


def stop(shop: AllYear) -> None:
    for table in ("orders", "daily", "trend"):
        shop.lose(table, jan(19), jan(20))


def lose_all(shop: AllYear) -> None:
    for table in ("orders", "daily", "trend"):
        shop.lose(table, jan(1), jan(20))


AGAINST = (
    'expects = { against = { table = "s.schedule", date = "day", '
    'where = { store = { not = "s99" } }, entities = { store = "store" } } }'
)
ROWS = {
    "a store that the schedule lists": Row(
        spoil=lose_a_store,
        orders=AGAINST,
        says="orders 2024-01-18: s.orders holds 11 of 12 stores: lacks s12",
        gaps={("orders", "2024-01-18", "partial")},
        runs=set(),
    ),
    "a source that has stopped": Row(
        spoil=stop,
        orders='expects = { days = "daily" }',
        says="orders 2024-01-19: s.orders is late",
        gaps={("orders", f"2024-01-{day}", "late") for day in (19, 20)},
        runs=set(),
    ),
    "a source that keeps ten days": Row(
        spoil=keep_ten_days,
        says="10 dates cannot be judged, 2024-01-01 to 2024-01-10: orders begins on 2024-01-11",
        gaps=set(),
        runs={"2024-01-20"},
    ),
    "a source without any row": Row(
        spoil=lose_all, says="orders holds no rows at all", gaps=set(), runs=set()
    ),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
@pytest.mark.quick("a source that has stopped")
def test_a_source_is_judged_in_bigquery(tmp_path: Path, row: Row) -> None:
    shop = AllYear(tmp_path, orders=row.orders)
    shop.fill_all(jan(1), jan(20))
    row.spoil(shop)
    with BigQueryServer(tmp_path / "warehouse") as server:
        environment = {
            **{name: value for name, value in os.environ.items() if "BACKFILL" not in name},
            **environment_of(shop.settings),
            "BIGQUERY_EMULATOR_HOST": server.url,
            "BACKFILL_WAREHOUSE": "bigquery:p",
        }
        say = partial(
            here, environment=environment, cwd=tmp_path, before=partial(at, noon(jan(21)))
        )
        found, listed = say("gaps"), say("gaps", "--json")
        planned = say("enqueue", "--gaps", "--dry-run", "--json")

    assert found.code == 1, found.err
    assert row.says in found.out
    shown = {(gap["phase"], gap["date"], gap["reason"]) for gap in listed.json["gaps"]}
    assert {gap for gap in shown if gap[0] == "orders"} == row.gaps
    assert {chunk["id"] for chunk in planned.json["chunks"]} == row.runs
