"""How a table's rows are told apart by day: what its date column is, and what SQL says of it.

A DATE is the day. A DATETIME's day is as it is written. A TIMESTAMP is a moment, and its day is
that of a time zone. A table in shards, `dataset.events_*`, has its days in the shards' names.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sql.errors import WarehouseRefused
from sql.statements import quote_column
from sql.warehouse import Table

SUFFIX = "_TABLE_SUFFIX"
"""The date of a table in shards."""
PARTITION_DATE = "_PARTITIONDATE"
"""BigQuery's pseudo-column of a table that is partitioned by the day of loading, in UTC."""
SHARDS = "SHARDS"

DAY_KINDS = ("DATE", "DATETIME", "TIMESTAMP")
"""Types of a column that tells a day."""
_ZONE = re.compile(r"[A-Za-z0-9_+/-]{1,64}")
# A midnight may be there twice, or not at all, and engines differ in which moment they take. Clocks
# are put by an hour at most; the day itself is asked for as well.
_MARGIN = "INTERVAL 1 HOUR"


class Days(NamedTuple):
    """What GoogleSQL says of the days of a table's rows."""

    day: str
    """The DATE of a row."""
    within: str
    """Whether it is in a range, so that BigQuery reads no more partitions or shards than it has
    to: they are compared with constants."""


def is_sharded(table: str) -> bool:
    """Whether a name stands for all tables that begin with it: `dataset.events_*`."""
    return table.endswith("*")


def days_of(table: Table, first: str = "@start_date", last: str = "@end_date") -> Days:
    """What to ask of `table`, whose kind is known; `first` and `last` are DATE parameters.

    Raises `WarehouseRefused` for what is no column's name.
    """
    column = quote_column(table.date)
    match table.kind:
        case "DATETIME":
            return Days(f"DATE({column})", _moments(column, f"DATETIME({first})", _next(last)))
        case "TIMESTAMP" if table.zone == "UTC":
            next_day = f"TIMESTAMP(DATE_ADD({last}, INTERVAL 1 DAY))"
            return Days(f"DATE({column})", _moments(column, f"TIMESTAMP({first})", next_day))
        case "TIMESTAMP":
            return _zoned(column, _quote_zone(table.zone), first, last)
        case "SHARDS":
            return _sharded(first, last)
    if table.date.upper() == PARTITION_DATE:
        column = PARTITION_DATE  # no column of the table, so it is not quoted like one
    return Days(column, f"{column} BETWEEN {first} AND {last}")


def dated(table: Table, columns: Callable[[str], Mapping[str, str]]) -> Table:
    """The table with the kind of its date column; as it is where it has no such column, which
    the count of it says. `columns` is `Warehouse.columns`.

    Raises `WarehouseRefused` where rows cannot be told apart by day by it.
    """
    if is_sharded(table.name):
        return replace(table, kind=SHARDS)
    return replace(table, kind=kind_of(table, columns(table.name)))


def kind_of(table: Table, columns: Mapping[str, str]) -> str:
    """The kind of a table's date column. Raises as `dated`."""
    kind = {name.lower(): kind for name, kind in columns.items()}.get(table.date.lower(), "DATE")
    if kind not in DAY_KINDS:
        raise WarehouseRefused(
            f"{table.name} is counted by {table.date!r}, which is a {kind}: name a DATE, DATETIME "
            "or TIMESTAMP column as its date in the pipeline file, or a view that has one."
        )
    return kind


def is_utc_day(table: Table) -> bool:
    """Whether a day of the table is a day of UTC: such a partition holds one date's rows."""
    return table.kind != "TIMESTAMP" or table.zone == "UTC"


def utc_days(table: Table, day: date) -> tuple[date, ...]:
    """The days of UTC that a day of the table is in."""
    if is_utc_day(table):
        return (day,)
    zone = ZoneInfo(table.zone)
    first = datetime.combine(day, time(), zone).astimezone(UTC)
    next_day = datetime.combine(day + timedelta(days=1), time(), zone).astimezone(UTC)
    last = (next_day - timedelta(microseconds=1)).date()
    return tuple(dict.fromkeys((first.date(), last)))


def _next(last: str) -> str:
    return f"DATETIME(DATE_ADD({last}, INTERVAL 1 DAY))"


def _moments(column: str, first: str, after: str) -> str:
    return f"{column} >= {first} AND {column} < {after}"


def _zoned(column: str, zone: str, first: str, last: str) -> Days:
    day = f"DATE({column}, {zone})"
    begins = f"TIMESTAMP_SUB(TIMESTAMP({first}, {zone}), {_MARGIN})"
    ends = f"TIMESTAMP_ADD(TIMESTAMP(DATE_ADD({last}, INTERVAL 1 DAY), {zone}), {_MARGIN})"
    return Days(day, f"{_moments(column, begins, ends)} AND {day} BETWEEN {first} AND {last}")


def _sharded(first: str, last: str) -> Days:
    """Shards whose suffix is no date, such as `events_intraday_20260301`, are none of its days."""
    year, month, rest = (f"SUBSTR({SUFFIX}, {part})" for part in ("1, 4", "5, 2", "7"))
    day = f"SAFE_CAST(CONCAT({year}, '-', {month}, '-', {rest}) AS DATE)"
    names = " AND ".join(f"FORMAT_DATE('%Y%m%d', {bound})" for bound in (first, last))
    length = f"LENGTH({SUFFIX}) = 8"
    within = f"{SUFFIX} BETWEEN {names} AND {length} AND {day} BETWEEN {first} AND {last}"
    return Days(day, within)


def _quote_zone(zone: str) -> str:
    if _ZONE.fullmatch(zone) is None:
        raise WarehouseRefused(f"{zone!r} is no time zone: write one such as America/New_York.")
    return f"'{zone}'"
