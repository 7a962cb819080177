"""Reads the days that tables exclude: a holiday calendar, a halt state."""

from __future__ import annotations

from datetime import date

from planner.errors import BadPipeline
from planner.pipeline.exclude import ListedIn
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Window
from planner.text import nearest
from sql.errors import TableNotFound
from sql.listed import listed_query
from sql.warehouse import Table, Warehouse


def read_excluded(
    warehouse: Warehouse, pipeline: Pipeline, window: Window
) -> dict[int, frozenset[date]]:
    """Place of an exclusion in the file → the days of the window that its table lists.

    Raises `BadPipeline` and `sql.WarehouseError`: where a list cannot be read, nothing is judged.
    """
    for part in pipeline.exclude:
        if part.from_ is not None:
            check_listed(warehouse, part.from_)
    return {
        n: _days(warehouse, part.from_, window)
        for n, part in enumerate(pipeline.exclude)
        if part.from_ is not None
    }


def check_listed(warehouse: Warehouse, listed: ListedIn) -> None:
    """Look whether a table that lists days is there, with columns that tell days.

    Raises `BadPipeline`, and `sql.WarehouseError` where the warehouse does not answer or its rows
    cannot be told apart by day.
    """
    try:
        columns = warehouse.columns(listed.table)
    except TableNotFound:
        raise BadPipeline(
            f"[[exclude]] takes its days from {listed.table}, and {warehouse.name} has no such "
            "table: correct `from`, or create it."
        ) from None
    known = {name.lower() for name in columns}  # names have no case
    for key, column in (("date", listed.date), ("until", listed.until)):
        if column is None:
            continue
        if column.lower() not in known:
            raise BadPipeline(
                f"{listed.table} has no column {column!r}, which `{key}` of an [[exclude]] names; "
                f"{nearest(column, columns, what='columns')}."
            )
    _dated(warehouse, listed)


def _days(warehouse: Warehouse, listed: ListedIn, window: Window) -> frozenset[date]:
    statement, parameters = listed_query(*_dated(warehouse, listed), window.start, window.end)
    found: set[date] = set()
    for row in warehouse.rows(statement, parameters):
        first, last = max(row["first_day"], window.start), min(row["last_day"], window.end)
        if first <= last:
            found.update(Window(start=first, end=last).days())
    return frozenset(found)


def _dated(warehouse: Warehouse, listed: ListedIn) -> tuple[Table, Table | None]:
    """The table by the first and by the last day of each row, with the kinds of their columns."""
    last = listed.last
    return warehouse.dated(listed.first), last and warehouse.dated(last)
