"""Builds the query that counts one table: `coverage.sql`, or `graded.sql` where it is graded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import Any

from sql.days import days_of
from sql.errors import BadAnswer, WarehouseRefused
from sql.filters import filters_of
from sql.statements import load, quote_column, quote_table
from sql.warehouse import (
    EVERY_SYSTEM,
    Cell,
    Coverage,
    Entity,
    Grade,
    Parameters,
    Scalar,
    Table,
)

# A prefix that no parameter of a pipeline can have, so that filters never collide with dates.
FILTER = "filter_"

_COUNTS = ("measured", "judged", "correct", "duplicates")
UNNAMED_SYSTEM = "?"  # rows that do not say whose they are


def coverage_query(
    table: Table, start: date, end: date, *, filters: str = FILTER, counts_only: bool = False
) -> tuple[str, Parameters]:
    """The statement that counts `table` per date, and its bound parameters.

    Columns of the answer: `date`, `row_count`, then one count per entity in `table.entities`
    order, named `entity_0`, `entity_1`, …; of a graded table also those of `graded.sql`.
    Then what else is judged: `print_0`, … are fingerprints of the entities' distinct ids;
    `duplicates`, `filled_0`, …, `first_written` and `last_written` stand where the table asks for
    them. `counts_only` leaves all of these out. `filters` begins the names of the parameters that
    `table.where` is bound to.
    """
    conditions, values = filters_of(table.where, filters)
    bound = dict(values)
    counted = _counted(table, filters, bound, counts_only=counts_only)
    counts = "".join(f",\n  {column}" for column in counted)
    names = {
        "table": quote_table(table.name),
        **days_of(table)._asdict(),
        "counts": counts,
        "filters": conditions,
    }
    if table.grades is None:
        statement = load("coverage").format(**names)
    else:
        own = quote_column(table.date)
        names["day"] = names["day"].replace(own, f"graded.{own}")
        statement = load("graded").format(
            **names,
            system=f"graded.{quote_column(table.grades.system)}",
            error=quote_column(table.grades.error),
            correct=quote_column(table.grades.correct),
        )
    return statement, {"start_date": start, "end_date": end, **bound}


def _counted(
    table: Table, filters: str, values: dict[str, Scalar | Sequence[Scalar]], *, counts_only: bool
) -> Iterator[str]:
    """The columns of the answer; what their conditions are bound to goes into `values`."""
    ids = [id_of(each, f"{filters}{n}_", values) for n, each in enumerate(table.entities.values())]
    for n, each in enumerate(table.entities.values()):
        value = quote_column(each) if isinstance(each, str) else ids[n]
        yield f"COUNT(DISTINCT {value}) AS entity_{n}"
    if counts_only:
        return
    for n, text in enumerate(ids):
        yield f"BIT_XOR(DISTINCT FARM_FINGERPRINT({text})) AS print_{n}"
    if table.key:
        yield f"COUNT(*) - COUNT(DISTINCT {_key(table.key)}) AS duplicates"
    for n, column in enumerate(table.filled):
        yield f"COUNT({quote_column(column)}) AS filled_{n}"
    if table.written_at is not None:
        written = quote_column(table.written_at)
        yield f"MIN({written}) AS first_written"
        yield f"MAX({written}) AS last_written"


def as_id(column: str) -> str:
    """A quoted column as an id: text, so that 7 in one table is '7' in another."""
    return f"CAST({column} AS STRING)"


def id_of(entity: str | Entity, prefix: str, values: dict[str, Scalar | Sequence[Scalar]]) -> str:
    """An entity's id: that of its column, or of its columns with `|` between; NULL is no id.

    What its conditions are bound to goes into `values`, under names that begin with `prefix`.
    """
    if isinstance(entity, str):
        return as_id(quote_column(entity))
    conditions, bound = filters_of(entity.where, prefix)
    values.update(bound)
    texts = [as_id(quote_column(column)) for column in entity.columns]
    there = " AND ".join(f"{quote_column(column)} IS NOT NULL" for column in entity.columns)
    between = ", '|', "
    text = f"CONCAT({between.join(texts)})" if len(texts) > 1 else texts[0]
    return f"IF({there}{conditions}, {text}, NULL)"


def _key(columns: Iterable[str]) -> str:
    """One text per distinct key: each value behind its length, so that no two keys are alike."""
    texts = [as_id(quote_column(column)) for column in columns]
    parts = [
        f"IFNULL(CONCAT(CAST(LENGTH({text}) AS STRING), ':', {text}), 'NULL')" for text in texts
    ]
    return f"CONCAT({', '.join(parts)})" if len(parts) > 1 else parts[0]


def coverage_of(table: Table, rows: Iterable[Mapping[str, Any]]) -> Coverage:
    """Read the answer of `coverage_query`.

    Raises `WarehouseRefused` where the column that it is counted by holds no dates: BigQuery
    compares a DATETIME with a DATE, groups by the moment, and no date would find its rows.
    """
    rows = [_believed(table, row) for row in rows]
    if table.grades is None:
        return {
            _day(table, row): Cell(
                rows=row["row_count"], entities=_entities(table, row), **_judged(table, row)
            )
            for row in rows
        }
    grades: dict[date, dict[str, Grade]] = {}
    judged: dict[date, dict[str, Any]] = {}
    for row in rows:
        if row["is_total"]:
            judged[_day(table, row)] = _judged(table, row)
        system = EVERY_SYSTEM if row["is_total"] else (row["graded_system"] or UNNAMED_SYSTEM)
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
            **judged[day],
        )
        for day, systems in grades.items()
    }


def _believed(table: Table, row: Mapping[str, Any]) -> Mapping[str, Any]:
    """A row whose counts are numbers, none below 0. Raises `BadAnswer` for any other."""
    for name, value in row.items():
        is_count = name == "row_count" or name.startswith("entity_") or name in _COUNTS
        if is_count and (type(value) is not int or value < 0):
            raise BadAnswer(
                f"The count of {table.name} answered {value!r} as {name}, which is no number of "
                "rows. Try again later."
            )
    return row


def _day(table: Table, row: Mapping[str, Any]) -> date:
    day = row["date"]
    if type(day) is not date:  # a datetime is a date to isinstance
        raise WarehouseRefused(
            f"{table.name}: {table.date!r} is not a DATE column, so its rows cannot be counted per "
            "date. Name its DATE column in the pipeline file, or a view that has one."
        )
    return day


def _judged(table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
    """What is asked beside rows and entities. A fingerprint of no ids is NULL."""
    judged: dict[str, Any] = {
        "fingerprints": {name: row[f"print_{i}"] or 0 for i, name in enumerate(table.entities)},
        "filled": {column: row[f"filled_{i}"] for i, column in enumerate(table.filled)},
    }
    if table.key:
        judged["duplicates"] = row["duplicates"]
    if table.written_at is not None and row["first_written"] is not None:
        judged["written"] = (row["first_written"], row["last_written"])
    return judged


def _entities(table: Table, row: Mapping[str, Any]) -> dict[str, int]:
    return {name: row[f"entity_{i}"] for i, name in enumerate(table.entities)}
