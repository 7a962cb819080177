"""Reads what sources are judged by: tables that list days and ids, and rows of earlier days.

A pipeline file without `expects` costs nothing here, and neither does a source whose first rows are
as old as those below it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date

from planner.evidence.differing_ids import ids_apart
from planner.evidence.evidence import ALL_IDS, Difference, Evidence
from planner.evidence.retention import Retention
from planner.pipeline.calendar import Calendar
from planner.pipeline.expects import Listing
from planner.pipeline.phase import Phase
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.tables import TableSpec
from planner.pipeline.windows import Window, moved
from sql.counting import count
from sql.differences import Side
from sql.together import together
from sql.warehouse import Coverage, Warehouse


def listings(pipeline: Pipeline, coverage: Mapping[str, Coverage]) -> dict[str, Listing]:
    """Key → the listings of the sources that were counted."""
    return {
        listing.key: listing
        for phase in _counted_sources(pipeline, coverage)
        for spec in phase.tables
        for listing in getattr(phase.expected(spec), "listings", ())
    }


def with_expectations(
    warehouse: Warehouse, pipeline: Pipeline, evidence: Evidence, window: Window, today: date
) -> Evidence:
    """The evidence with what its sources are judged by. Raises `sql.WarehouseError`."""
    found = listings(pipeline, evidence.coverage)
    counts = together(
        lambda listing: warehouse.coverage(listing.counted, window.start, window.end),
        list(found.values()),
        at_once=warehouse.at_once,
        cancel=warehouse.cancel,
    )
    evidence = replace(evidence, listed=dict(zip(found, counts, strict=True)))
    unlisted = {
        (phase.name, spec.name): _unlisted(warehouse, evidence, phase, spec, against)
        for phase in _counted_sources(pipeline, evidence.coverage)
        for spec in phase.tables
        if (against := getattr(phase.expected(spec), "against", None)) is not None
    }
    held_before = frozenset(_held_before(warehouse, pipeline, evidence, window))
    evidence = replace(evidence, unlisted=unlisted, held_before=held_before)
    return replace(evidence, bare=frozenset(_bare(warehouse, pipeline, evidence, window, today)))


def _counted_sources(pipeline: Pipeline, coverage: Mapping[str, Coverage]) -> Iterator[Phase]:
    for phase in pipeline.phases:
        if phase.is_source and all(spec.name in coverage for spec in phase.tables):
            yield phase


def _unlisted(
    warehouse: Warehouse, evidence: Evidence, phase: Phase, spec: TableSpec, against: Listing
) -> Mapping[tuple[date, str], Difference]:
    """Date and entity → what is apart, where both hold rows and fingerprints differ; with every id
    where a loss is accepted, since they tell which it is."""
    cells, listed = evidence.coverage[spec.name], evidence.listed[against.key]
    entities = [entity for entity in against.entities if entity in spec.entities]
    days = [
        day
        for day, cell in listed.items()
        if day in cells
        and any(cells[day].fingerprints[entity] != cell.fingerprints[entity] for entity in entities)
    ]
    is_special = any(
        each.phase == phase.name and each.covers(day) for each in evidence.accepts for day in days
    )
    return ids_apart(
        warehouse,
        spec.table,
        {entity: [Side(table=warehouse.dated(against.counted))] for entity in entities},
        days,
        ids_named=ALL_IDS if is_special else evidence.ids_named,
    )


def _held_before(
    warehouse: Warehouse, pipeline: Pipeline, evidence: Evidence, window: Window
) -> Iterator[str]:
    """Sources that begin after what is below them in the window, and hold rows before it."""
    first = Calendar(pipeline=pipeline).first
    if first >= window.start:
        return
    retention = Retention(pipeline=pipeline, evidence=evidence)
    for phase in _counted_sources(pipeline, evidence.coverage):
        if retention.begins_late(phase.name) and _holds_any(
            warehouse, phase, first, moved(window.start, -1)
        ):
            yield phase.name


def _bare(
    warehouse: Warehouse, pipeline: Pipeline, evidence: Evidence, window: Window, today: date
) -> Iterator[str]:
    """Sources that hold no rows, in the window and around it, and nothing below them holds any."""
    retention = Retention(pipeline=pipeline, evidence=evidence)
    around = [
        (Calendar(pipeline=pipeline).first, moved(window.start, -1)),
        (moved(window.end, 1), today),
    ]
    for phase in _counted_sources(pipeline, evidence.coverage):
        is_empty = not any(evidence.coverage[spec.name] for spec in phase.tables)
        if (
            is_empty
            and not retention.begins_late(phase.name)
            and not any(_holds_any(warehouse, phase, *span) for span in around)
        ):
            yield phase.name


def _holds_any(warehouse: Warehouse, source: Phase, start: date, end: date) -> bool:
    """Whether any table of a source holds rows from one day to another; of no days none does."""
    if end < start:
        return False
    bare = list({spec.name: spec.table.bare for spec in source.tables}.values())
    return any(count(warehouse, bare, start, end).coverage.values())
