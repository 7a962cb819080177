"""What the shop's tills and its opening hours say: made from a seed, day by day.

A day's rows are the same whatever the span they are made in.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from planner.pipeline.windows import Window

HOURS = pa.schema(
    [
        pa.field("day", pa.date32(), nullable=False),
        pa.field("store_id", pa.int64(), nullable=False),
        pa.field("is_open", pa.bool_(), nullable=False),
    ]
)
RECEIPTS = pa.schema(
    [
        pa.field("sold_at", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("receipt_id", pa.int64(), nullable=False),
        pa.field("store_id", pa.int64(), nullable=False),
        pa.field("items", pa.int64(), nullable=False),
        pa.field("cents", pa.int64(), nullable=False),
    ]
)

_STORES = (1, 2, 3, 4, 5)
_SHUT_ON_MONDAYS = 2
_SELLS_AT_NIGHT = 3  # until half past midnight, which is a day earlier by UTC
_MARKET_STALL = 5  # on the first Saturday of a month alone: one day tells a week and a month apart
_MONDAY, _SATURDAY, _SUNDAY = 0, 5, 6
_HOLIDAYS = {(1, 1), (12, 25), (12, 26)}
_MOST_RECEIPTS = 4  # of a store and day


def is_open(store: int, day: date) -> bool:
    """Whether a store sells anything on a day."""
    if day.weekday() == _SUNDAY or (day.month, day.day) in _HOLIDAYS:
        return False
    if store == _MARKET_STALL:
        return day.weekday() == _SATURDAY and day.day <= 7
    return store != _SHUT_ON_MONDAYS or day.weekday() != _MONDAY


def opening_hours(days: Window) -> pa.Table:
    """One row per store and day, as `HOURS`."""
    rows = [(day, store, is_open(store, day)) for day in days.days() for store in _STORES]
    return _table(rows, HOURS)


def receipts(days: Window, zone: ZoneInfo, *, seed: int = 1) -> pa.Table:
    """What the stores sold, in order of time, as `RECEIPTS`."""
    rows = [row for day in days.days() for row in _sold(day, zone, seed)]
    return _table(sorted(rows), RECEIPTS)


def _sold(day: date, zone: ZoneInfo, seed: int) -> Iterator[tuple[Any, ...]]:
    # Text seeds are hashed the same way in every process and version.
    rng = random.Random(f"{seed} {day}")
    for store in _STORES:
        hours = (0, 0) if store == _SELLS_AT_NIGHT else (9, 19)
        for n in range(rng.randint(2, _MOST_RECEIPTS)):
            clock = time(rng.randint(*hours), rng.randrange(30))
            items = rng.randint(1, 6)
            cents = items * rng.randint(99, 1999)
            if is_open(store, day):
                sold_at = datetime.combine(day, clock, zone).astimezone(UTC)
                number = (day.toordinal() * len(_STORES) + store - 1) * _MOST_RECEIPTS + n
                yield sold_at + timedelta(seconds=n), number, store, items, cents


def _table(rows: list[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)
