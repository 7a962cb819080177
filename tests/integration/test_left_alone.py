"""What a run of `enqueue --gaps` never touches: dates that are open, unjudged, accepted or watched.

In each row another date has a hole that is repaired, so that the run has something to do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import redis

from planner import clock
from planner.settings import Settings
from tests.integration.allyear import OPEN_END, STORES, AllYear, jan, noon, visit_all

REPAIRED = jan(3)
"""A hole of `trend` that every run repairs. `trend` reads six days before a date, and the date."""
ACCEPT = '[[accept]]\nphase = "{phase}"\ndates = 2024-01-20\nreason = "gone"'
NO_RUNNER = ('runners = [{ kind = "sql", statements = ["daily"] }]\n', "")


@dataclass(frozen=True, kw_only=True)
class Row:
    """Twenty days of a shop, and what is done to them."""

    spoil: Callable[[AllYear], None]
    calendar: str = OPEN_END
    orders: str = ""
    change: tuple[str, str] = ("", "")
    """A text of the pipeline file, and what stands there instead."""
    now: datetime = field(default=noon(jan(21)))
    left: dict[str, set[date]]
    """Phase → dates that are not run, and so hold what they held."""
    says: str
    code: int
    """Of `enqueue --gaps` when the hole is repaired, and nothing is left to run."""


def half_a_day(shop: AllYear) -> None:
    for table in ("orders", "daily", "trend"):
        shop.lose(table, jan(20))
    shop.fill("orders", jan(20), stores=6)


def no_daily(shop: AllYear) -> None:
    for table in ("daily", "trend"):
        shop.lose(table, jan(20))


def no_orders(shop: AllYear) -> None:
    shop.lose("orders", jan(20))
    no_daily(shop)


def old_orders(shop: AllYear) -> None:
    """The source keeps what it had since the 16th; a mart lacks an older day."""
    shop.lose("orders", jan(1), jan(15))
    shop.lose("trend", jan(12))
    shop.fill("trend", REPAIRED)
    shop.lose("trend", jan(18))


LAST = {"daily": {jan(20)}, "trend": {jan(20)}}
ROWS = {
    "a day that is not closed": Row(
        spoil=half_a_day,
        calendar=f'{OPEN_END}\ncloses_after = "6h"',
        now=datetime(2024, 1, 21, 5, 59, tzinfo=UTC),
        left=LAST,
        says="open: 2024-01-20",
        code=0,
    ),
    "a day of another time zone": Row(
        spoil=half_a_day,
        calendar=f'{OPEN_END}\ntimezone = "America/New_York"',
        now=datetime(2024, 1, 21, 4, 59, tzinfo=UTC),
        left=LAST,
        says="open: 2024-01-20",
        code=0,
    ),
    "a source that is not late yet": Row(
        spoil=half_a_day,
        orders='expects = { entities = { store = 12 }, late_after = "36h" }',
        left=LAST,
        says="open: 2024-01-20",
        code=0,
    ),
    "a source that is partial": Row(
        spoil=half_a_day,
        orders="expects = { entities = { store = 12 } }",
        left=LAST,
        says="orders 2024-01-20: watched (s.orders holds 6 of 12 stores",
        code=1,
    ),
    "a source that is late": Row(
        spoil=no_orders,
        orders='expects = { days = "daily" }',
        left=LAST,
        says="orders 2024-01-20: watched (s.orders is late",
        code=1,
    ),
    "a source that keeps less than its marts": Row(
        spoil=old_orders,
        left={"trend": {jan(12)}},
        says="unjudged",
        code=1,
    ),
    "an accepted loss": Row(
        spoil=no_daily,
        calendar=f"{OPEN_END}\n{ACCEPT.format(phase='daily')}",
        left=LAST,
        says="",
        code=0,
    ),
    "an accepted loss of a source": Row(
        spoil=no_orders,
        calendar=f"{OPEN_END}\n{ACCEPT.format(phase='orders')}",
        orders='expects = { days = "daily" }',
        left=LAST,
        says="",
        code=0,
    ),
    "a phase that others fill": Row(
        spoil=no_daily,
        change=NO_RUNNER,
        left=LAST,
        says="daily 2024-01-20: watched",
        code=1,
    ),
}


def held(shop: AllYear, table: str) -> dict[date, int]:
    found = shop.warehouse.rows(f"SELECT day, COUNT(*) AS n FROM s.{table} GROUP BY day", {})
    return {row["day"]: row["n"] for row in found}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
@pytest.mark.quick("a source that is partial")
def test_a_run_of_all_gaps_leaves_it_alone(
    row: Row,
    tmp_path: Path,
    client: redis.Redis,
    redis_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a hole to repair, and dates to leave alone
    shop = AllYear(
        tmp_path, calendar=row.calendar, orders=row.orders, broker_url=redis_settings.redis_url
    )
    text = (tmp_path / "shop.toml").read_text()
    assert row.change[0] in text
    (tmp_path / "shop.toml").write_text(text.replace(*row.change) if row.change[0] else text)
    shop.fill_all(jan(1), jan(20))
    shop.lose("trend", REPAIRED)
    row.spoil(shop)
    before = {phase: held(shop, phase) for phase in ("daily", "trend")}

    # When all gaps are enqueued and run
    sent = shop.say("enqueue", "--gaps", "--json", now=row.now)
    monkeypatch.setattr(clock, "now", lambda: row.now)
    visit_all(shop.settings, sent.json["run_id"])

    # Then only the hole is filled: no other date holds anything else than before
    hole = jan(18) if row.spoil is old_orders else REPAIRED
    after = {phase: held(shop, phase) for phase in ("daily", "trend")}
    assert after == {**before, "trend": {**before["trend"], hole: STORES}}
    for phase, days in row.left.items():
        assert days.isdisjoint(after[phase])

    # And the next one has nothing to do, says what it left, and is no all-clear where it is none
    again = shop.say("enqueue", "--gaps", now=row.now)
    assert (again.code, row.says in again.err) == (row.code, True), again.err
    assert shop.planned(now=row.now) == {}
