"""Rows after the calendar's end: a source has newer days than the pipeline file covers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from planner.gaps.gaps import Skipped, SkipReason
from planner.pipeline.calendar import Calendar
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Window, moved
from sql.counting import count
from sql.warehouse import Table, Warehouse

_EARLIEST = date(1900, 1, 1)


def days_beyond(pipeline: Pipeline, today: date) -> Window | None:
    """The days from the calendar's end until today; None where there are none."""
    last = Calendar(pipeline=pipeline).last
    return Window(start=moved(last, 1), end=today) if last is not None and last < today else None


def rows_beyond(warehouse: Warehouse, pipeline: Pipeline, today: date) -> tuple[Skipped, ...]:
    """The dates after the calendar's end on which a source holds rows.

    Costs nothing before that end; after it, a count of rows per source. Raises
    `sql.WarehouseError`.
    """
    window = days_beyond(pipeline, today)
    if window is None:
        return ()
    last = moved(window.start, -1)
    told = f"it holds rows, and the calendar ends on {last}: {how_to_go_on(pipeline)}"
    return tuple(_outside(warehouse, pipeline, window, told))


def rows_before(warehouse: Warehouse, pipeline: Pipeline) -> tuple[Skipped, ...]:
    """The dates before the calendar's start on which a source holds rows.

    Where a pipeline begins is its owner's choice, so these are no finding. Raises
    `sql.WarehouseError`.
    """
    first = Calendar(pipeline=pipeline).first
    window = Window(start=_EARLIEST, end=moved(first, -1))
    told = f"it holds rows, and the calendar begins on {first}"
    return tuple(_outside(warehouse, pipeline, window, told))


def _outside(
    warehouse: Warehouse, pipeline: Pipeline, window: Window, told: str
) -> Iterator[Skipped]:
    found = count(warehouse, _bare(pipeline), window.start, window.end).coverage
    for phase in pipeline.phases:
        if phase.is_source:
            for day in sorted({day for spec in phase.tables for day in found[spec.name]}):
                yield Skipped(phase=phase.name, date=day, reason=SkipReason.BEYOND, detail=told)


def bytes_beyond(warehouse: Warehouse, pipeline: Pipeline, today: date) -> int:
    """What `rows_beyond` would be billed at most."""
    window = days_beyond(pipeline, today)
    if window is None:
        return 0
    return warehouse.bytes_to_count(_bare(pipeline), window.start, window.end) or 0


def how_to_go_on(pipeline: Pipeline) -> str:
    """What to change in the pipeline file."""
    if pipeline.end is not None:
        return "take `end` out of the pipeline file, or move it"
    return "add the next [[seasons]] to the pipeline file, or give it a `start` and no `end`"


def _bare(pipeline: Pipeline) -> list[Table]:
    """The sources' tables, of which rows alone are counted."""
    tables = [spec for phase in pipeline.phases if phase.is_source for spec in phase.tables]
    return list({spec.name: spec.table.bare for spec in tables}.values())
