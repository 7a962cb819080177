"""Looks at the tables of a warehouse: what a pipeline file would have to say of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from planner.draft.guess import date_column, id_columns
from sql import WarehouseError
from sql.warehouse import Cell, Table, Warehouse

RECENT_DAYS = 35  # before a table's last day: of these its entities are counted
EVER = date(1970, 1, 1)


@dataclass(frozen=True, kw_only=True)
class Found:
    """A table, and what was seen of it."""

    name: str
    columns: Mapping[str, str]
    """Column → GoogleSQL type."""
    day_column: str | None
    """The column that tells the day of a row; None where none could."""
    ids: tuple[str, ...] = ()
    """Columns that may identify what the table is about."""
    first: date | None = None
    """Its first day with rows; None where that is not known."""
    last: date | None = None
    recent: Mapping[date, Cell] = field(default_factory=dict, repr=False)
    """Its last days: rows and distinct ids, each under its column's name."""
    trouble: str = ""
    """Why it cannot be used."""


def look(warehouse: Warehouse, name: str, *, today: date) -> Found:
    """What can be seen of a table; what refuses to be looked at says why."""
    try:
        columns = warehouse.columns(name)
        column = date_column(columns, warehouse.partitioning(name).column)
    except WarehouseError as error:
        return Found(name=name, columns={}, day_column=None, trouble=str(error))
    found = Found(name=name, columns=columns, day_column=column, ids=id_columns(columns))
    if column is None:
        return replace(found, trouble="no column tells the day of a row")
    try:
        return _with_days(warehouse, found, warehouse.dated(_table(found)), today)
    except WarehouseError as error:
        return replace(found, day_column=None, trouble=str(error))


def _table(found: Found) -> Table:
    entities = {column: column for column in found.ids}
    return Table(name=found.name, date=found.day_column or "", entities=entities)


def _with_days(warehouse: Warehouse, found: Found, table: Table, today: date) -> Found:
    """With the days that hold rows: by the records where they tell, else counted."""
    records = warehouse.partitions([table], EVER, today)[table.name].by_day
    days = sorted(records or warehouse.coverage(table.bare, EVER, today))
    if not days:
        return replace(found, trouble="it holds no rows")
    recent = warehouse.coverage(table, days[-1] - timedelta(days=RECENT_DAYS - 1), days[-1])
    return replace(found, first=days[0], last=days[-1], recent=recent)


def look_at(warehouse: Warehouse, names: Iterable[str], *, today: date) -> list[Found]:
    """What can be seen of some tables."""
    return [look(warehouse, name, today=today) for name in names]
