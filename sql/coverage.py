"""Builds the query that counts one table: `coverage.sql`, or `graded.sql` where it is graded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from sql.errors import WarehouseRefused
from sql.filters import filters_of
from sql.statements import load, quote_column, quote_table
from sql.warehouse import EVERY_SYSTEM, Cell, Coverage, Grade, Parameters, Table

# A prefix that no parameter of a pipeline can have, so that filters never collide with dates.
FILTER = "filter_"

UNNAMED_SYSTEM = "?"  # rows that do not say whose they are


def coverage_query(
    table: Table, start: date, end: date, *, filters: str = FILTER
) -> tuple[str, Parameters]:
    """The statement that counts `table` per date, and its bound parameters.

    Columns of the answer: `date`, `row_count`, then one count per entity in `table.entities`
    order, named `entity_0`, `entity_1`, …; of a graded table also those of `graded.sql`.
    `filters` begins the names of the parameters that `table.where` is bound to.
    """
    counts = "".join(
        f",\n  COUNT(DISTINCT {quote_column(column)}) AS entity_{i}"
        for i, column in enumerate(table.entities.values())
    )
    conditions, values = filters_of(table.where, filters)
    names = {
        "table": quote_table(table.name),
        "date": quote_column(table.date),
        "counts": counts,
        "filters": "".join(f"\n  AND {condition}" for condition in conditions),
    }
    if table.grades is None:
        statement = load("coverage").format(**names)
    else:
        statement = load("graded").format(
            **names,
            system=quote_column(table.grades.system),
            error=quote_column(table.grades.error),
            correct=quote_column(table.grades.correct),
        )
    return statement, {"start_date": start, "end_date": end, **values}


def coverage_of(table: Table, rows: Iterable[Mapping[str, Any]]) -> Coverage:
    """Read the answer of `coverage_query`.

    Raises `WarehouseRefused` where the column that it is counted by holds no dates: BigQuery
    compares a DATETIME with a DATE, groups by the moment, and no date would find its rows.
    """
    if table.grades is None:
        return {
            _day(table, row): Cell(rows=row["row_count"], entities=_entities(table, row))
            for row in rows
        }
    grades: dict[date, dict[str, Grade]] = {}
    for row in rows:
        system = EVERY_SYSTEM if row["is_total"] else (row["system"] or UNNAMED_SYSTEM)
        grades.setdefault(_day(table, row), {})[system] = Grade(
            rows=row["row_count"],
            entities=_entities(table, row),
            measured=row["measured"],
            error_sum=row["error_sum"] or 0.0,  # NULL where nothing was measured
            judged=row["judged"],
            correct=row["correct"],
        )
    return {
        day: Cell(
            rows=systems[EVERY_SYSTEM].rows,
            entities=systems[EVERY_SYSTEM].entities,
            grades=systems,
        )
        for day, systems in grades.items()
    }


def _day(table: Table, row: Mapping[str, Any]) -> date:
    day = row["date"]
    if type(day) is not date:  # a datetime is a date to isinstance
        raise WarehouseRefused(
            f"{table.name}: {table.date!r} is not a DATE column, so its rows cannot be counted per "
            "date. Name its DATE column in the pipeline file, or a view that has one."
        )
    return day


def _entities(table: Table, row: Mapping[str, Any]) -> dict[str, int]:
    return {name: row[f"entity_{i}"] for i, name in enumerate(table.entities)}
