"""How the rows that a run wrote anew differ from those that were there before."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any

from planner.data import Data
from planner.text import counted, printable

DATES_SHOWN = 20  # of a table, on a terminal
COLUMNS_SHOWN = 4
VALUE_CHARS = 60


class DateChange(Data):
    """One date of a table."""

    date: date
    added: int
    removed: int
    changed: int


class RowChange(Data):
    """One row that differs."""

    date: date
    key: dict[str, Any]
    """Column → value, of the columns that tell the row apart; all of them where none do."""
    old: dict[str, Any] | None
    """Column → what it held, of the columns that differ. None: the row is new."""
    new: dict[str, Any] | None
    """None: the row is gone."""


class TableChange(Data):
    """One table."""

    phase: str
    table: str
    key: tuple[str, ...]
    dates: tuple[DateChange, ...]
    """Dates that differ, in order."""
    columns: dict[str, int]
    """Column → rows in which it differs; those that changed most first."""
    rows: tuple[RowChange, ...] = ()
    """Some of the rows."""
    compared: int = 0
    """How many dates were compared."""

    def total(self, what: str) -> int:
        """How many rows were `added`, `removed` or `changed`."""
        return sum(getattr(each, what) for each in self.dates)


def phase_lines(tables: Iterable[TableChange]) -> Iterator[str]:
    """One line per phase."""
    phases: dict[str, list[TableChange]] = {}
    for each in tables:
        phases.setdefault(each.phase, []).append(each)
    for phase, members in phases.items():
        days = {each.date for table in members for each in table.dates}
        if not days:
            yield f"{phase}: rows written anew are as they were before"
            continue
        counts = ", ".join(
            f"{sum(table.total(what) for table in members)} {what}"
            for what in ("added", "removed", "changed")
        )
        columns: Counter[str] = Counter()
        for table in members:
            columns.update(table.columns)
        yield f"{phase}: rows {counts} on {counted(len(days), 'date')}{_columns(columns)}"


def table_lines(table: TableChange) -> Iterator[str]:
    """One table, for a terminal."""
    if not table.dates:
        yield f"{table.phase}, {table.table}: no row differs on {counted(table.compared, 'date')}"
        return
    by = ", ".join(table.key) or "whole rows: the file names no key"
    yield f"{table.phase}, {table.table} (by {by}){_columns(Counter(table.columns))}"
    for each in table.dates[:DATES_SHOWN]:
        yield f"  {each.date}: +{each.added} -{each.removed} ~{each.changed}"
    more = len(table.dates) - DATES_SHOWN
    if more > 0:
        yield f"  … {counted(more, 'more date')} until {table.dates[-1].date}: --dates, or --json"
    for row in table.rows:
        yield f"    {_row(row)}"


def _columns(columns: Counter[str]) -> str:
    if not columns:
        return ""
    told = ", ".join(f"{name} in {n}" for name, n in columns.most_common(COLUMNS_SHOWN))
    more = len(columns) - COLUMNS_SHOWN
    return f"; columns: {told}" + (f", and {more} more" if more > 0 else "")


def _row(row: RowChange) -> str:
    key = ", ".join(f"{name}={_value(value)}" for name, value in row.key.items())
    if row.old is None:
        return f"+ {row.date} {key}"
    if row.new is None:
        return f"- {row.date} {key}"
    new = row.new
    apart = ", ".join(
        f"{name} {_value(value)} → {_value(new.get(name))}" for name, value in row.old.items()
    )
    return f"~ {row.date} {key}: {apart}"


def _value(value: Any) -> str:
    text = printable(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= VALUE_CHARS else f"{text[:VALUE_CHARS]}…"
