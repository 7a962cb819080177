"""Asks which ids are apart between a table and others, date by date.

Tables of two locations are read by no one statement: their ids are fetched from each, and compared
here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date

from planner.evidence.evidence import Difference
from sql.differences import Side, Spans, differences_query, ids_query
from sql.warehouse import Table, Warehouse

_Ids = dict[date, set[str]]
"""Date → ids."""


def ids_apart(
    warehouse: Warehouse,
    table: Table,
    others: Mapping[str, Sequence[Side]],
    dates: Sequence[date],
    *,
    ids_named: int,
    spans: Spans | None = None,
) -> dict[tuple[date, str], Difference]:
    """Date and entity → how a table differs from what `others` hold of the entity together.

    One statement, one for each table and entity where they are in two locations, and none without
    dates or entities. Raises `sql.WarehouseError`.
    """
    found = {(day, entity): Difference() for day in dates for entity in others}
    if not found:
        return found
    names = {table.name, *(each for sides in others.values() for each in _names(sides))}
    if len({warehouse.location(name) for name in sorted(names)}) > 1:
        own = Side(table=warehouse.dated(table))
        for entity, sides in others.items():
            due = _union(_held(warehouse, side, entity, dates, spans) for side in sides)
            held = _held(warehouse, own, entity, dates, spans)
            for day in dates:
                found[day, entity] = _difference(
                    held.get(day, set()), due.get(day, set()), ids_named
                )
        return found
    statement, parameters = differences_query(
        warehouse.dated(table), others, dates, ids_shown=ids_named, spans=spans or {}
    )
    for row in warehouse.rows(statement, parameters):
        key = (row["date"], row["entity"])
        known = found[key]
        if row["is_surplus"]:
            found[key] = replace(known, surplus=row["ids_apart"], holds=(*known.holds, row["id"]))
        else:
            found[key] = replace(known, lacking=row["ids_apart"], lacks=(*known.lacks, row["id"]))
    return found


def _names(sides: Iterable[Side]) -> Iterator[str]:
    for side in sides:
        yield side.table.name
        yield from _names(side.within)


def _held(
    warehouse: Warehouse, side: Side, entity: str, dates: Sequence[date], spans: Spans | None
) -> _Ids:
    """The ids of one side, as far as it counts them."""
    found: _Ids = {}
    for row in warehouse.rows(*ids_query(side.table, entity, dates, spans=spans)):
        if row["id"] is not None:
            found.setdefault(row["date"], set()).add(row["id"])
    if not side.within:
        return found
    within = _union(_held(warehouse, each, entity, dates, spans) for each in side.within)
    return {day: ids & within.get(day, set()) for day, ids in found.items()}


def _union(each: Iterable[_Ids]) -> _Ids:
    found: _Ids = {}
    for held in each:
        for day, ids in held.items():
            found.setdefault(day, set()).update(ids)
    return found


def _difference(held: set[str], due: set[str], ids_named: int) -> Difference:
    lacks, surplus = sorted(due - held), sorted(held - due)
    return Difference(
        lacking=len(lacks),
        lacks=tuple(lacks[:ids_named]),
        surplus=len(surplus),
        holds=tuple(surplus[:ids_named]),
    )
