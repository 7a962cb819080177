"""Which phases and dates are short of what their upstream phases hold, and why.

Pure: takes the coverage of every table, gives back values. A date is judged by the entities
the *source* and every phase between hold on it, date by date, never by numbers of dates.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum

from planner.pipeline.calendar import Calendar
from planner.pipeline.phase import Phase
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.tables import TableSpec
from planner.pipeline.windows import Window
from sql.warehouse import Cell, Coverage

Expected = Mapping[str, int]
"""Entity → how many distinct ones make a date complete."""

EMPTY = Cell(rows=0)


class GapReason(StrEnum):
    """Why a phase and date has to be done."""

    MISSING = "missing"
    """No rows."""
    PARTIAL = "partial"
    """Entities, or whole tables of the phase, are short."""
    CASCADE = "cascade"
    """Its rows are there, and were computed from rows that are repaired now."""
    STALE = "stale"
    """Its rows are there, and what they are computed from was written after them."""


RECOMPUTE = frozenset({GapReason.CASCADE, GapReason.STALE})
"""Complete by count: only new versions of its rows show that a date was done."""


class SkipReason(StrEnum):
    """Why a phase and date is left alone."""

    OFF_DAY = "off_day"
    """The source phases hold nothing: no games, no orders, out of season."""
    BOOTSTRAP = "bootstrap"
    """The first days of a season, too early for the phase."""
    EXCLUDED = "excluded"
    """The pipeline file says so."""
    UPSTREAM_MISSING = "upstream_missing"
    """What it is computed from is not there, and is not repaired by this plan."""
    IN_FLIGHT = "in_flight"
    """Another run is repairing it, or what it is computed from."""


@dataclass(frozen=True, kw_only=True)
class Gap:
    """A phase and date that is short."""

    phase: str
    date: date
    reason: GapReason
    expected: int
    """Entities of the shortest table; rows (1) where a table counts none."""
    found: int
    tables: tuple[str, ...]
    """The tables that are short."""


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A phase and date that is not done, and why."""

    phase: str
    date: date
    reason: SkipReason
    detail: str = ""
    run_id: str | None = None
    """The run that holds it, for `in_flight`."""


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """Every phase and date of a window: complete, a gap, or legitimately empty."""

    window: Window
    gaps: Mapping[str, Mapping[date, Gap]]
    empty: Mapping[str, Mapping[date, Skipped]]
    complete: Mapping[str, frozenset[date]]
    expected: Mapping[str, Mapping[date, Expected]] = field(repr=False)
    """Phase → date → entities that its upstream phases hold."""
    held: Mapping[str, Mapping[date, int]] = field(repr=False)
    """Phase → date → how many of the pipeline's own entity it holds in full, in every table
    that counts it. A phase that does not count it is absent."""
    stale: Mapping[str, Collection[date]] = field(default_factory=dict)
    """Phase → complete dates whose upstream was written after them; empty unless asked for."""
    doubtful: Mapping[str, Collection[date]] = field(default_factory=dict)
    """Phase → dates that look stale, and hold more than their upstream does now."""

    def is_due(self, phase: str, day: date) -> bool:
        """Whether rows are expected, there or not."""
        return day in self.complete[phase] or day in self.gaps[phase]


def assess(pipeline: Pipeline, coverage: Mapping[str, Coverage], window: Window) -> Assessment:
    """Judge every phase on every day of `window`.

    `coverage` holds each table of the pipeline by name, over at least the window; a table that
    is absent from it raises `KeyError`: no coverage, no judgement.
    """
    calendar = Calendar(pipeline=pipeline)
    gaps: dict[str, dict[date, Gap]] = {}
    empty: dict[str, dict[date, Skipped]] = {}
    complete: dict[str, frozenset[date]] = {}
    expected: dict[str, dict[date, Expected]] = {}
    held: dict[str, dict[date, int]] = {}
    for phase in pipeline.phases:
        cells = {spec.name: coverage[spec.name] for spec in phase.tables}
        gaps[phase.name], empty[phase.name], expected[phase.name] = {}, {}, {}
        done: set[date] = set()
        for day in window.days():
            why = _why_nothing(phase, day, calendar, cells, empty)
            if why is not None:
                empty[phase.name][day] = Skipped(phase=phase.name, date=day, reason=why)
                continue
            due = _upstream(pipeline, phase, day, coverage)
            expected[phase.name][day] = due
            gap = None if phase.is_source else _gap(phase, day, cells, due)
            if gap is None:
                done.add(day)
            else:
                gaps[phase.name][day] = gap
        complete[phase.name] = frozenset(done)
        counting = [cells[spec.name] for spec in phase.tables if pipeline.entity in spec.entities]
        if counting:
            pick = (
                max if phase.is_source else min
            )  # one source is enough; a phase is all its tables
            held[phase.name] = {
                day: pick(
                    table.get(day, EMPTY).entities.get(pipeline.entity, 0) for table in counting
                )
                for day in (*done, *gaps[phase.name])
            }
    return Assessment(
        window=window, gaps=gaps, empty=empty, complete=complete, expected=expected, held=held
    )


def _why_nothing(
    phase: Phase,
    day: date,
    calendar: Calendar,
    cells: Mapping[str, Coverage],
    empty: Mapping[str, Mapping[date, Skipped]],
) -> SkipReason | None:
    """Why nothing is expected of a phase on a day; None when something is."""
    if calendar.excluded(day) is not None:
        return SkipReason.EXCLUDED
    if phase.is_source:
        return None if any(day in table for table in cells.values()) else SkipReason.OFF_DAY
    absent = [empty[upstream][day].reason for upstream in phase.after if day in empty[upstream]]
    if len(absent) == len(phase.after):
        return absent[0]
    if absent:
        return (
            SkipReason.BOOTSTRAP if SkipReason.BOOTSTRAP in absent else SkipReason.UPSTREAM_MISSING
        )
    if phase.skips_bootstrap and calendar.is_bootstrap(day):
        return SkipReason.BOOTSTRAP
    return None


def _upstream(
    pipeline: Pipeline, phase: Phase, day: date, coverage: Mapping[str, Coverage]
) -> Expected:
    """The most of each entity that any table upstream of `phase` holds on `day`."""
    most: dict[str, int] = {}
    for name in pipeline.ancestors[phase.name]:
        for spec in pipeline.by_name[name].tables:
            for entity, count in coverage[spec.name].get(day, EMPTY).entities.items():
                most[entity] = max(most.get(entity, 0), count)
    return most


def needed(spec: TableSpec, entity: str, due: Expected) -> int:
    """How many entities make a date of a table complete."""
    # As written: 100 × 0.55 is more than 55 in binary.
    return math.ceil(due.get(entity, 0) * Decimal(str(spec.min_coverage)))


def shortfall(spec: TableSpec, cell: Cell, due: Expected) -> tuple[int, int] | None:
    """Expected and found of the entity a table is shortest of; None when it is complete."""
    counts = [(needed(spec, entity, due), cell.entities.get(entity, 0)) for entity in spec.entities]
    short = [(want, have) for want, have in counts if have < want]
    if short:
        # The first entity is the one people know the table by, so it is the one shown.
        return short[0]
    return None if cell.rows else (1, 0)


def _gap(phase: Phase, day: date, cells: Mapping[str, Coverage], due: Expected) -> Gap | None:
    short: dict[str, tuple[int, int]] = {}
    for spec in phase.tables:
        missing = shortfall(spec, cells[spec.name].get(day, EMPTY), due)
        if missing is not None:
            short[spec.name] = missing
    if not short:
        return None
    want, have = min(short.values(), key=lambda pair: pair[1] / pair[0])
    nothing = all(day not in table for table in cells.values())
    return Gap(
        phase=phase.name,
        date=day,
        reason=GapReason.MISSING if nothing else GapReason.PARTIAL,
        expected=want,
        found=have,
        tables=tuple(short),
    )


def recomputed(phase: Phase, day: date, assessment: Assessment, reason: GapReason) -> Gap:
    """A date that is complete by count, and has to be computed again."""
    due = assessment.expected[phase.name][day]
    first = next(iter(phase.tables[0].entities), None)
    count = due.get(first, 1) if first else 1
    return Gap(
        phase=phase.name,
        date=day,
        reason=reason,
        expected=count,
        found=count,
        tables=tuple(spec.name for spec in phase.tables),
    )
