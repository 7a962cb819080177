"""What every result is made from: each table counted once, the calendar, and the assessment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from typing import TYPE_CHECKING

from planner.evidence.audits import check_judgeable
from planner.evidence.read import compare_ids, complete_evidence
from planner.gaps.assess import assess
from planner.gaps.gaps import Assessment, SkipReason
from planner.gaps.undue import Undue
from planner.pipeline.calendar import Calendar
from planner.pipeline.criteria import Criterion, EntitiesCriterion
from planner.pipeline.lookback import with_periods
from planner.pipeline.windows import Season, Window, moved
from sql.counting import count

if TYPE_CHECKING:
    from planner.evidence.evidence import Difference, Evidence
    from planner.pipeline.closing import Closing
    from planner.pipeline.pipeline import Pipeline
    from planner.pipeline.tables import TableSpec
    from sql.errors import WarehouseError
    from sql.warehouse import Cell, Coverage, Table, Warehouse


@dataclass(frozen=True, kw_only=True)
class Part:
    """A season, or a named window of it, as far as the scope reaches."""

    season: Season
    name: str
    """The window's name; `""` for the whole season."""
    window: Window
    """Its days in the scope."""
    is_whole: bool
    """Whether the scope holds all its days."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Counts of every table over a scope, and what follows from them."""

    pipeline: Pipeline
    scope: Window
    evidence: Evidence
    modified: Mapping[str, Mapping[date, datetime]] = field(default_factory=dict)
    """Table → date → last write, UTC, as far as it is known."""
    window: Window | None = None
    """What was counted: the scope, and days around it; None: the scope alone."""
    closing: Closing | None = None
    """Which days are open; None: none is."""
    compared: Mapping[tuple[str, str], Mapping[date, Difference]] = field(default_factory=dict)
    """Criterion and table → date → what is apart from the phase that the criterion names."""

    @property
    def coverage(self) -> Mapping[str, Coverage]:
        """Table → cells by date."""
        return self.evidence.coverage

    @cached_property
    def assessment(self) -> Assessment:
        """Every phase and date of the scope, judged by what the warehouse showed."""
        return assess(self.pipeline, self.evidence, self.window or self.scope, closing=self.closing)

    @cached_property
    def calendar(self) -> Calendar:
        """The calendar of the pipeline."""
        return Calendar(pipeline=self.pipeline)

    @cached_property
    def _undue(self) -> Undue:
        return Undue(pipeline=self.pipeline, listed=self.evidence.excluded)

    @cached_property
    def _early_days(self) -> Mapping[str, int]:
        return {name: early_days(self.pipeline, name) for name in self.pipeline.by_name}

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The seasons in scope and their named windows, in order, a season before its windows."""
        found = [
            part
            for season in self.calendar.seasons(self.scope)
            for part in _parts(season, self.scope)
        ]
        return tuple(sorted(found, key=lambda part: (_starts(part), part.name)))

    @property
    def seasons(self) -> tuple[Part, ...]:
        """The seasons in scope."""
        return tuple(part for part in self.parts if not part.name)

    def cell(self, spec: TableSpec, day: date) -> Cell:
        """What a table holds on a date."""
        return self.evidence.cell(spec.name, day)

    def holds(self, phase: str, day: date) -> bool:
        """Whether any table of the phase has rows."""
        return any(day in self.coverage[spec.name] for spec in self.pipeline.by_name[phase].tables)

    def is_allowed(self, phase: str, day: date) -> bool:
        """Whether rows may be expected: the day is not legitimately empty in the phase."""
        if not self.pipeline.by_name[phase].grain.is_date(day):
            return False
        if self._is_early(phase, day):
            return False
        phases = [self.pipeline.by_name[n] for n in (phase, *self.pipeline.ancestors[phase])]
        return all(self._undue.why_all(each, day) is not SkipReason.EXCLUDED for each in phases)

    def _is_early(self, phase: str, day: date) -> bool:
        """Whether the day is among the first ones of a season, which the phase leaves empty."""
        return self.calendar.is_bootstrap(day, self._early_days[phase])

    def is_orphan(self, phase: str, day: date) -> bool:
        """Whether the phase has rows though a phase that they are computed from has none.

        The first days of that phase are no reason, where they are none of the phase's own.
        """
        if phase in self.pipeline.looking_ahead:
            return day in self.assessment.orphans.get(phase, ())
        above = self.pipeline.by_name[phase].after
        absent = [name for name in above if not self.holds(name, day)]
        if not absent or not self.holds(phase, day):
            return False
        return self._is_early(phase, day) or not all(self._is_early(name, day) for name in absent)


def count_tables(
    warehouse: Warehouse,
    pipeline: Pipeline,
    scope: Window,
    *,
    days_before: int = 0,
    days_after: int = 0,
    closing: Closing | None = None,
    on_table: Callable[[str], None] = lambda table: None,
    on_error: Callable[[Table, WarehouseError], WarehouseError] = lambda table, error: error,
) -> Counts:
    """Count every table that holds rows in `scope`, in one query each.

    With `days_before` and `days_after`, the days around the scope that its windows reach into are
    judged as well. Raises `sql.WarehouseError`: without counts there are no results. `on_error`
    may say it better.
    """
    tables = [spec.table_with_grades for spec in pipeline.tables]
    check_judgeable(warehouse, pipeline)
    window = with_periods(
        pipeline,
        list(pipeline.by_name),
        Window(start=moved(scope.start, -days_before), end=moved(scope.end, days_after)),
    )
    counted = count(
        warehouse, tables, window.start, window.end, on_table=on_table, on_error=on_error
    )
    evidence = complete_evidence(
        warehouse, pipeline, counted.coverage, list(pipeline.by_name), window
    )
    compared = {
        (criterion.name, spec.name): _apart(warehouse, pipeline, evidence, criterion, spec, scope)
        for criterion in pipeline.criteria
        if isinstance(criterion, EntitiesCriterion)
        for spec in counting(pipeline, criterion.phase, entity_of(pipeline, criterion))
    }
    return Counts(
        pipeline=pipeline,
        scope=scope,
        evidence=evidence,
        modified=counted.modified,
        window=window,
        closing=closing,
        compared=compared,
    )


def entity_of(pipeline: Pipeline, criterion: EntitiesCriterion) -> str:
    """The entity that a criterion compares."""
    return criterion.entity or pipeline.entity


def counting(pipeline: Pipeline, phase: str, entity: str) -> tuple[TableSpec, ...]:
    """The tables of a phase that count an entity."""
    return tuple(spec for spec in pipeline.by_name[phase].tables if entity in spec.entities)


def _apart(
    warehouse: Warehouse,
    pipeline: Pipeline,
    evidence: Evidence,
    criterion: EntitiesCriterion,
    spec: TableSpec,
    scope: Window,
) -> Mapping[date, Difference]:
    """What is apart between a table and the phase that a criterion names, where counts and
    fingerprints leave it open."""
    entity = entity_of(pipeline, criterion)
    others = counting(pipeline, criterion.against, entity)
    if not pipeline.by_ids(entity):
        return {}
    place = (criterion.phase, spec.name)
    dates = []
    for day in scope.days():
        prints = {
            evidence.print_of((criterion.against, other.name), entity, day) for other in others
        }
        if prints - {(0, 0)} and {evidence.print_of(place, entity, day)} != prints:
            dates.append(day)
    return compare_ids(warehouse, spec, others, entity, dates)


def early_days(pipeline: Pipeline, phase: str) -> int:
    """How many first days of a season a phase leaves empty: its own, and where the file says none
    of it, those of what it is computed from. While all of that is empty, so is the phase."""
    found: dict[str, int] = {}
    for each in pipeline.phases:
        own = min(each.early_days(spec, pipeline.bootstrap_days) for spec in each.tables)
        above = [found[name] for name in each.after] or [0]
        found[each.name] = max(own, min(above) if each.has_early_days else max(above))
    return found[phase]


def sources_of(pipeline: Pipeline, phase: str) -> frozenset[str]:
    """The source phases that a phase is computed from; a source is its own."""
    above = {phase, *pipeline.ancestors[phase]}
    return frozenset(name for name in above if pipeline.by_name[name].is_source)


def known_seasons(pipeline: Pipeline, scope: Window) -> tuple[Season, ...]:
    """The seasons of the file; of a calendar without, its years from the first to those in scope.

    There is one at least.
    """
    calendar = Calendar(pipeline=pipeline)
    first = calendar.first
    return pipeline.seasons or calendar.seasons(Window(start=first, end=max(first, scope.end)))


def criterion_seasons(pipeline: Pipeline, criterion: Criterion, scope: Window) -> Iterator[Season]:
    """The seasons that a criterion is about."""
    for season in known_seasons(pipeline, scope):
        if not criterion.seasons or season.name in criterion.seasons:
            yield season


def _starts(part: Part) -> date:
    return part.season.windows[part.name].start if part.name else part.season.start


def _parts(season: Season, scope: Window) -> Iterator[Part]:
    for name, span in {"": season, **season.windows}.items():
        window = span.common(scope)
        if window is not None:
            is_whole = (window.start, window.end) == (span.start, span.end)
            yield Part(season=season, name=name, window=window, is_whole=is_whole)
