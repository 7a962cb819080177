"""Whether the calendar of a pipeline file still holds today."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from planner.doctor.tables import Check
from planner.gaps.beyond import how_to_go_on, rows_before, rows_beyond
from planner.pipeline.calendar import Calendar
from planner.pipeline.pipeline import Pipeline
from sql import WarehouseError
from sql.warehouse import Warehouse


def check_calendar(warehouse: Warehouse, pipeline: Pipeline, *, today: date) -> Iterator[Check]:
    """One check: no source holds rows after the calendar's end.

    Sources that cannot be counted yield nothing here: their own checks say why.
    """
    calendar = Calendar(pipeline=pipeline)
    until = "with an open end" if calendar.last is None else f"until {calendar.last}"
    span = f"{calendar.first} {until}, in {pipeline.timezone}"
    try:
        found, earlier = rows_beyond(warehouse, pipeline, today), rows_before(warehouse, pipeline)
    except WarehouseError:
        return
    if earlier:
        names = ", ".join(dict.fromkeys(left.phase for left in earlier))
        span += f"; {names} holds rows before it, which are not judged"
    if not found:
        yield Check(what="calendar", ok=True, detail=span)
        return
    names = ", ".join(dict.fromkeys(left.phase for left in found))
    days = sorted({left.date for left in found})
    yield Check(
        what="calendar",
        ok=False,
        detail=f"{span}: {names} goes on, with rows on {len(days):,} dates until {days[-1]}",
        advice=how_to_go_on(pipeline),
    )
