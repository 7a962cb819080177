"""What the sandbox's shop sells: by day, whatever the span, and only where a store is open."""

from __future__ import annotations

from collections import Counter
from datetime import date
from zoneinfo import ZoneInfo

from planner.pipeline.windows import Window
from planner.sandbox.receipts import is_open, opening_hours, receipts

ZONE = ZoneInfo("Europe/Berlin")
MARCH = Window(start=date(2026, 3, 1), end=date(2026, 3, 31))  # clocks are put forward on the 29th


def test_a_days_receipts_are_the_same_whatever_the_span() -> None:
    whole = receipts(MARCH, ZONE).to_pylist()
    by_day = [
        row
        for day in MARCH.days()
        for row in receipts(Window(start=day, end=day), ZONE).to_pylist()
    ]

    assert sorted(by_day, key=lambda row: row["sold_at"]) == whole
    assert whole != receipts(MARCH, ZONE, seed=2).to_pylist()
    assert set(Counter(row["receipt_id"] for row in whole).values()) == {1}


def test_stores_sell_on_the_days_on_which_they_are_open_and_on_no_others() -> None:
    sold = {
        (row["sold_at"].astimezone(ZONE).date(), row["store_id"])
        for row in receipts(MARCH, ZONE).to_pylist()
    }
    hours = opening_hours(MARCH).to_pylist()

    assert sold == {(row["day"], row["store_id"]) for row in hours if row["is_open"]}
    assert len(hours) == 31 * 5


def test_days_tell_time_zones_weeks_and_months_apart() -> None:
    """Else a mart by UTC's days, or one that looks at a single day of a period, would pass."""
    rows = receipts(MARCH, ZONE).to_pylist()

    assert any(row["sold_at"].date() != row["sold_at"].astimezone(ZONE).date() for row in rows)
    assert [day for day in MARCH.days() if is_open(5, day)] == [date(2026, 3, 7)]
    assert not any(is_open(store, date(2026, 12, 25)) for store in range(1, 6))
