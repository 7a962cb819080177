"""Reads from the warehouse what a judgement rests on.

Counting is one statement per table. Where fingerprints differ, one more statement per table names
the ids that are apart. An error of the warehouse is an error, never a gap.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date

from planner import clock
from planner.evidence.audits import run_audits
from planner.evidence.differing_ids import ids_apart
from planner.evidence.evidence import ALL_IDS, IDS_NAMED, Difference, Evidence, is_accepted, unsure
from planner.evidence.excluded_days import read_excluded
from planner.evidence.expectations import with_expectations
from planner.evidence.tables import accepting, tables_to_judge
from planner.pipeline.accept import active
from planner.pipeline.closing import Closing
from planner.pipeline.lookback import lookback, with_periods
from planner.pipeline.measures import Place
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.tables import TableSpec
from planner.pipeline.windows import Window
from sql.differences import Side
from sql.together import together
from sql.warehouse import Coverage, Warehouse


def read_evidence(
    warehouse: Warehouse,
    pipeline: Pipeline,
    phases: Collection[str],
    window: Window,
    *,
    counted: Collection[str] = (),
) -> Evidence:
    """Count what it takes to judge some phases in a window, and name what is apart.

    Of the phases `counted`, rows are counted too. Raises `sql.WarehouseError`.
    """
    wide = with_periods(pipeline, phases, window)
    coverage = read_coverage(warehouse, tables_to_judge(pipeline, [*phases, *counted]), wide)
    return complete_evidence(warehouse, pipeline, coverage, phases, wide)


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
    today = Closing(pipeline=pipeline, now=clock.now()).today
    counted = Evidence(
        coverage=coverage,
        excluded=read_excluded(warehouse, pipeline, window),
        accepts=active(pipeline.accept, today),
        ids_named=ids_named,
    )
    judged = [*dict.fromkeys([*phases, *accepting(pipeline, phases)])]
    apart = unsure(pipeline, counted, judged, list(window.days()))
    found = together(
        lambda place: _all_differences(warehouse, pipeline, place, apart[place], counted),
        list(apart),
        at_once=warehouse.at_once,
        cancel=warehouse.cancel,
    )
    specs = [spec for name in phases for spec in pipeline.by_name[name].tables]
    counted = with_expectations(warehouse, pipeline, counted, window, today)
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
    found = ids_apart(warehouse, spec.table, {entity: sides}, dates, ids_named=IDS_NAMED)
    return {day: apart for (day, _), apart in found.items()}


def _all_differences(
    warehouse: Warehouse, pipeline: Pipeline, place: Place, dates: list[date], counted: Evidence
) -> Mapping[tuple[date, str], Difference]:
    """What is apart; with every id where a loss is accepted, since they tell which it is."""
    special = {day for day in dates if is_accepted(pipeline, counted.accepts, place[0], day)}
    usual = [day for day in dates if day not in special]
    return {
        **_differences(warehouse, pipeline, place, usual, counted.ids_named),
        **_differences(warehouse, pipeline, place, sorted(special), ALL_IDS),
    }


def _differences(
    warehouse: Warehouse, pipeline: Pipeline, place: Place, dates: list[date], ids_named: int
) -> Mapping[tuple[date, str], Difference]:
    """What is apart between a table and those it is measured by; nothing where nothing is."""
    spec, phase = pipeline.places[place], pipeline.by_name[place[0]]
    others = {
        entity: [
            _side(warehouse, pipeline, other, entity) for other in pipeline.measures[place, entity]
        ]
        for entity in pipeline.compared_by_ids(place)
    }
    spans = {}
    if not phase.grain.is_daily:
        windows = {day: lookback(day, phase) for day in dates}
        spans = {day: (window.start, window.end) for day, window in windows.items()}
    return ids_apart(warehouse, spec.table, others, dates, ids_named=ids_named, spans=spans)


def _side(warehouse: Warehouse, pipeline: Pipeline, place: Place, entity: str) -> Side:
    """A table that another is measured by, less the ids that it has too many itself."""
    within = tuple(
        _side(warehouse, pipeline, each, entity) for each in pipeline.measures[place, entity]
    )
    return Side(table=warehouse.dated(pipeline.places[place].table), within=within)
