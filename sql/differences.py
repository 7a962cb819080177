"""Builds the statement that names the ids by which a table differs: `differences.sql`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from sql.coverage import id_of
from sql.days import days_of
from sql.filters import filters_of
from sql.statements import load, quote_table, quote_text, without_comments
from sql.warehouse import Parameters, Scalar, Table


@dataclass(frozen=True, kw_only=True)
class Side:
    """A table on one side of a comparison by one entity."""

    table: Table
    within: tuple[Side, ...] = ()
    """Of its ids, only those count that one of these holds too; none: all count."""


Spans = Mapping[date, tuple[date, date]]
"""A date → the first and last day whose ids count as those of the date."""


def differences_query(
    table: Table,
    others: Mapping[str, Sequence[Side]],
    dates: Collection[date],
    *,
    ids_shown: int,
    spans: Spans | None = None,
) -> tuple[str, Parameters]:
    """The statement that compares the ids of `table` with those of `others`, and its parameters.

    `others` maps an entity of the table to what it is measured by. Columns of the answer: `date`,
    `entity`, `id`, `is_surplus` (the table holds it, and nothing that it is measured by does; else
    the table lacks it) and `ids_apart`, how many such ids the date has; of these at most
    `ids_shown` are named, in order. With `spans`, one for each date, `table` has to hold on a date
    what `others` hold on any day of its span.
    """
    if not dates:
        raise ValueError("no dates to compare")
    values: dict[str, Scalar | Sequence[Scalar]] = {}
    sides: list[str] = []
    for entity, measuring in others.items():
        sides.append(_marked(_ids(Side(table=table), entity, values), is_own=True))
        sides += [
            _marked(_ids(side, entity, values, is_spanning=bool(spans)), is_own=False)
            for side in measuring
        ]
    statement = load("differences").format(sides="\nUNION ALL\n".join(sides))
    return statement, {**values, **_when(dates, spans), "ids_shown": ids_shown}


def ids_query(
    table: Table, entity: str, dates: Collection[date], *, spans: Spans | None = None
) -> tuple[str, Parameters]:
    """The statement that lists the ids of one table, and its parameters: for tables that no
    statement can read together. Columns of the answer: `date`, `entity`, `id`, which may be NULL.
    """
    values: dict[str, Scalar | Sequence[Scalar]] = {}
    statement = _ids(Side(table=table), entity, values, is_spanning=bool(spans))
    return statement, {**values, **_when(dates, spans)}


def _when(dates: Collection[date], spans: Spans | None) -> Parameters:
    bounds = {"first_date": min(dates), "last_date": max(dates)}
    if not spans:
        return {"dates": sorted(dates), **bounds}
    ordered = [spans[day] for day in sorted(dates)]
    return {
        "dates": sorted(dates),
        **bounds,
        "span_starts": [first for first, _ in ordered],
        "span_ends": [last for _, last in ordered],
        "first_read": min(first for first, _ in ordered),
        "last_read": max(last for _, last in ordered),
    }


def _marked(ids: str, *, is_own: bool) -> str:
    return f"SELECT date, entity, id, {str(is_own).upper()} AS is_own FROM (\n{ids}\n)"


def _ids(
    side: Side,
    entity: str,
    values: dict[str, Scalar | Sequence[Scalar]],
    *,
    is_spanning: bool = False,
) -> str:
    """The distinct ids of a side per date, or per span of dates."""
    table = side.table
    filters, bound = filters_of(table.where, f"filter_{len(values)}_")
    values.update(bound)
    own = id_of(table.entities[entity], f"entity_{len(values)}_", values)
    which, bounds = ("span_ids", "read") if is_spanning else ("ids", "date")
    ids = without_comments(load(which)).format(
        **days_of(table, f"@first_{bounds}", f"@last_{bounds}")._asdict(),
        entity=quote_text(entity),
        id=own,
        table=quote_table(table.name),
        filters=filters,
    )
    if not side.within:
        return ids
    within = "\nUNION ALL\n".join(
        _ids(each, entity, values, is_spanning=is_spanning) for each in side.within
    )
    return f"{ids}\nINTERSECT DISTINCT (\n{within}\n)"
