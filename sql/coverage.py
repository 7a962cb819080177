"""Builds the coverage query of one table from `coverage.sql`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from sql.statements import load, quote_column, quote_table
from sql.warehouse import Cell, Coverage, Parameters, Table

# A prefix that no parameter of a pipeline can have, so that filters never collide with dates.
_FILTER = "filter_"


def coverage_query(table: Table, start: date, end: date) -> tuple[str, Parameters]:
    """The statement that counts `table` per date, and its bound parameters.

    Columns of the answer: `date`, `row_count`, then one count per entity in `table.entities`
    order, named `entity_0`, `entity_1`, ….
    """
    counts = "".join(
        f",\n  COUNT(DISTINCT {quote_column(column)}) AS entity_{i}"
        for i, column in enumerate(table.entities.values())
    )
    filters = "".join(
        f"\n  AND {quote_column(column)} = @{_FILTER}{i}" for i, column in enumerate(table.where)
    )
    statement = load("coverage").format(
        table=quote_table(table.name), date=quote_column(table.date), counts=counts, filters=filters
    )
    values = {f"{_FILTER}{i}": value for i, value in enumerate(table.where.values())}
    return statement, {"start_date": start, "end_date": end, **values}


def coverage_of(table: Table, rows: Iterable[Mapping[str, Any]]) -> Coverage:
    """Read the answer of `coverage_query`."""
    return {
        row["date"]: Cell(
            rows=row["row_count"],
            entities={name: row[f"entity_{i}"] for i, name in enumerate(table.entities)},
        )
        for row in rows
    }
