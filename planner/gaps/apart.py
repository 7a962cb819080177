"""Asks which ids are apart between a table and others, date by date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

from planner.gaps.evidence import Difference
from sql.differences import Side, Spans, differences_query
from sql.warehouse import Table, Warehouse


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

    One statement, and none without dates or entities. Raises `sql.WarehouseError`.
    """
    found = {(day, entity): Difference() for day in dates for entity in others}
    if not found:
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
