"""Reads from the warehouse what a judgement rests on.

Counting is one statement per table. Where fingerprints differ, one more statement per table names
the ids that are apart. An error of the warehouse is an error, never a gap.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date

from planner.gaps.audits import run_audits
from planner.gaps.counted import tables_to_judge
from planner.gaps.evidence import Difference, Evidence, unsure
from planner.gaps.expectations import with_expectations
from planner.pipeline.measures import Place
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.tables import TableSpec
from planner.pipeline.windows import Window
from sql.differences import Side, differences_query
from sql.together import together
from sql.warehouse import Coverage, Warehouse

IDS_NAMED = 20  # per table, date and entity, in plans and messages
ALL_IDS = 1_000_000  # of one date, where every id is asked for


def read_evidence(
    warehouse: Warehouse, pipeline: Pipeline, phases: Collection[str], window: Window
) -> Evidence:
    """Count what it takes to judge some phases in a window, and name what is apart.

    Raises `sql.WarehouseError`.
    """
    coverage = read_coverage(warehouse, tables_to_judge(pipeline, phases), window)
    return complete_evidence(warehouse, pipeline, coverage, phases, window)


def read_coverage(
    warehouse: Warehouse, specs: Sequence[TableSpec], window: Window
) -> dict[str, Coverage]:
    """Table → cells by date, of some tables at once. Raises `sql.WarehouseError`."""
    counts = together(
        lambda spec: warehouse.coverage(spec.table, window.start, window.end),
        specs,
        at_once=warehouse.at_once,
        cancel=warehouse.cancel,
    )
    return {spec.name: cells for spec, cells in zip(specs, counts, strict=True)}


def complete_evidence(
    warehouse: Warehouse,
    pipeline: Pipeline,
    coverage: Mapping[str, Coverage],
    phases: Collection[str],
    window: Window,
    *,
    ids_named: int = IDS_NAMED,
) -> Evidence:
    """What counts cannot tell: the ids that are apart, and what audits find.

    Raises `sql.WarehouseError`.
    """
    counted = Evidence(coverage=coverage)
    apart = unsure(pipeline, counted, phases, list(window.days()))
    found = together(
        lambda place: _differences(warehouse, pipeline, place, apart[place], ids_named),
        list(apart),
        at_once=warehouse.at_once,
        cancel=warehouse.cancel,
    )
    specs = [spec for name in phases for spec in pipeline.by_name[name].tables]
    counted = with_expectations(warehouse, pipeline, counted, window, ids_named=ids_named)
    return replace(
        counted,
        differences=dict(zip(apart, found, strict=True)),
        audited=run_audits(warehouse, pipeline, specs, window),
    )


def compare_ids(
    warehouse: Warehouse,
    spec: TableSpec,
    others: Sequence[TableSpec],
    entity: str,
    dates: Sequence[date],
) -> Mapping[date, Difference]:
    """What is apart between a table and all that others hold. Raises `sql.WarehouseError`."""
    sides = [Side(table=warehouse.dated(other.table)) for other in others]
    found = _ask(warehouse, spec, {entity: sides}, dates, IDS_NAMED)
    return {day: apart for (day, _), apart in found.items()}


def _differences(
    warehouse: Warehouse, pipeline: Pipeline, place: Place, dates: list[date], ids_named: int
) -> Mapping[tuple[date, str], Difference]:
    """What is apart between a table and those it is measured by; nothing where nothing is."""
    spec = pipeline.places[place]
    others = {
        entity: [
            _side(warehouse, pipeline, other, entity) for other in pipeline.measures[place, entity]
        ]
        for entity in pipeline.compared_by_ids(place)
    }
    return _ask(warehouse, spec, others, dates, ids_named)


def _ask(
    warehouse: Warehouse,
    spec: TableSpec,
    others: Mapping[str, Sequence[Side]],
    dates: Sequence[date],
    ids_named: int,
) -> Mapping[tuple[date, str], Difference]:
    found = {(day, entity): Difference() for day in dates for entity in others}
    if not found:
        return found
    table = warehouse.dated(spec.table)
    statement, parameters = differences_query(table, others, dates, ids_shown=ids_named)
    for row in warehouse.rows(statement, parameters):
        key = (row["date"], row["entity"])
        known = found[key]
        if row["is_surplus"]:
            found[key] = replace(known, surplus=row["ids_apart"], holds=(*known.holds, row["id"]))
        else:
            found[key] = replace(known, lacking=row["ids_apart"], lacks=(*known.lacks, row["id"]))
    return found


def _side(warehouse: Warehouse, pipeline: Pipeline, place: Place, entity: str) -> Side:
    """A table that another is measured by, less the ids that it has too many itself."""
    within = tuple(
        _side(warehouse, pipeline, each, entity) for each in pipeline.measures[place, entity]
    )
    return Side(table=warehouse.dated(pipeline.places[place].table), within=within)
