"""Judges phases and dates by what the warehouse showed. Pure.

A date is due where its sources hold rows and the calendar does not say otherwise. It is complete
when every table of the phase holds the ids that it is measured by, now, and none of the flaws that
the pipeline file describes. Never by numbers of dates, and never by what a plan expected.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

from planner.gaps.evidence import Evidence
from planner.gaps.gaps import (
    FLAWS,
    SHORT,
    Assessment,
    Expected,
    Finding,
    Gap,
    GapReason,
    Skipped,
    SkipReason,
    count_due,
)
from planner.gaps.unsettled import Unsettled
from planner.pipeline.calendar import Calendar
from planner.pipeline.closing import Closing
from planner.pipeline.measures import Place
from planner.pipeline.model import exact
from planner.pipeline.phase import Phase
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.tables import TableSpec
from planner.pipeline.windows import Window

_WORST_FIRST = {
    reason: n
    for n, reason in enumerate((GapReason.LATE, GapReason.MISSING, GapReason.PARTIAL, *FLAWS))
}


def assess(
    pipeline: Pipeline,
    evidence: Evidence,
    window: Window,
    *,
    phases: Collection[str] | None = None,
    closing: Closing | None = None,
) -> Assessment:
    """Judge phases on every day of `window`; all of them, unless some are named.

    `evidence` holds the tables that `tables_to_judge` names, over at least the window. What is
    absent from it raises `KeyError`: no evidence, no judgement. Without `closing`, every day has
    long been over.
    """
    judge = _Judge(pipeline=pipeline, evidence=evidence, closing=closing, last=window.end)
    gaps: dict[str, dict[date, Gap]] = {}
    orphans: dict[str, dict[date, Gap]] = {}
    empty: dict[str, dict[date, Skipped]] = {}
    complete: dict[str, frozenset[date]] = {}
    expected: dict[str, dict[date, Expected]] = {}
    held: dict[str, dict[date, int]] = {}
    for phase in pipeline.phases:
        name = phase.name
        if phases is not None and name not in phases:
            continue
        gaps[name], empty[name], expected[name], orphans[name] = {}, {}, {}, {}
        done: set[date] = set()
        for day in window.days():
            why = judge.empty(phase, day)
            if why is not None:
                told = judge.unsettled.told(phase, day, why)
                empty[name][day] = Skipped(phase=name, date=day, reason=why, detail=told)
                orphan = judge.orphan(phase, day, why)
                if orphan is not None:
                    orphans[name][day] = orphan
                continue
            expected[name][day] = judge.due(phase, day)
            gap = judge.gap(phase, day)
            if gap is None:
                done.add(day)
            else:
                gaps[name][day] = gap
        complete[name] = frozenset(done)
        if any(pipeline.entity in spec.entities for spec in phase.tables):
            held[name] = {day: judge.held(phase, day) for day in (*done, *gaps[name])}
    return Assessment(
        window=window,
        gaps=gaps,
        empty=empty,
        complete=complete,
        expected=expected,
        held=held,
        orphans={name: days for name, days in orphans.items() if days},
        holding={name: judge.holding(pipeline.by_name[name], window) for name in empty},
        gone={name: judge.gone(pipeline.by_name[name], days) for name, days in empty.items()},
    )


@dataclass(kw_only=True)
class _Judge:
    pipeline: Pipeline
    evidence: Evidence
    closing: Closing | None
    last: date
    _empty: dict[tuple[str, date], SkipReason | None] = field(default_factory=dict)
    _counted: dict[tuple[Place, str, date], tuple[int, int]] = field(default_factory=dict)
    _beginnings: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    @cached_property
    def _calendar(self) -> Calendar:
        return Calendar(pipeline=self.pipeline)

    @cached_property
    def unsettled(self) -> Unsettled:
        return Unsettled(
            pipeline=self.pipeline, evidence=self.evidence, closing=self.closing, last=self.last
        )

    # -- what is due -------------------------------------------------------------------------

    def empty(self, phase: Phase, day: date) -> SkipReason | None:
        """Why nothing is due in a phase on a day; None when something is."""
        key = (phase.name, day)
        if key not in self._empty:
            self._empty[key] = self._why_empty(phase, day)
        return self._empty[key]

    def _why_empty(self, phase: Phase, day: date) -> SkipReason | None:
        if self._calendar.excluded(day) is not None:
            return SkipReason.EXCLUDED
        if self.unsettled.is_open(phase, day):
            return SkipReason.OPEN
        if phase.is_source:
            return self.unsettled.why_source_empty(phase, day)
        above = [self.empty(self.pipeline.by_name[name], day) for name in phase.after]
        absent = [why for why in above if why is not None]
        for why in (SkipReason.UNJUDGED, SkipReason.OPEN):
            if why in absent:
                return why
        if len(absent) == len(above):
            return absent[0]
        if absent:
            is_early = SkipReason.BOOTSTRAP in absent
            return SkipReason.BOOTSTRAP if is_early else SkipReason.UPSTREAM_MISSING
        if phase.skips_bootstrap and self._calendar.is_bootstrap(day):
            return SkipReason.BOOTSTRAP
        return SkipReason.UNJUDGED if self.unsettled.rests_on_nothing(phase, day) else None

    def _holds(self, phase: Phase, day: date) -> bool:
        return self.evidence.holds(phase, day)

    def holding(self, phase: Phase, window: Window) -> frozenset[date]:
        """The dates on which a phase holds any row."""
        return frozenset(day for day in window.days() if self._holds(phase, day))

    def gone(self, phase: Phase, empty: Mapping[date, Skipped]) -> frozenset[date]:
        """The unjudged dates of a phase from which nothing may be computed."""
        return frozenset(
            day
            for day, left in empty.items()
            if left.reason is SkipReason.UNJUDGED and self.unsettled.is_gone(phase, day)
        )

    def orphan(self, phase: Phase, day: date, why: SkipReason) -> Gap | None:
        """Rows of a phase on a day on which none of its sources holds any."""
        if phase.is_source or why is not SkipReason.OFF_DAY or not self._holds(phase, day):
            return None
        findings = tuple(
            Finding(
                table=spec.name,
                reason=GapReason.ORPHAN,
                expected=0,
                found=self.evidence.cell(spec.name, day).rows,
            )
            for spec in phase.tables
            if day in self.evidence.coverage[spec.name]
        )
        return Gap(
            phase=phase.name,
            date=day,
            reason=GapReason.ORPHAN,
            expected=0,
            found=sum(finding.found for finding in findings),
            tables=tuple(finding.table for finding in findings),
            findings=findings,
        )

    def due(self, phase: Phase, day: date) -> Expected:
        """How many of each entity a phase ought to hold: what the tables where the entity begins
        hold, or what `against` names."""
        due: dict[str, int] = {}
        for table, entity in self._beginning(phase):
            count = self.evidence.cell(table, day).entities.get(entity, 0)
            due[entity] = max(due.get(entity, 0), count)
        for spec in phase.tables:
            for entity in spec.entities:
                if self.pipeline.measures[(phase.name, spec.name), entity]:
                    want, _ = self._counts((phase.name, spec.name), entity, day)
                    due[entity] = want
        return due

    def _beginning(self, phase: Phase) -> list[tuple[str, str]]:
        """Tables upstream of a phase, and the entities that begin there; those that were counted.

        What the phase itself is measured by always was; others tell of entities that it does not
        count, and are for people.
        """
        if phase.name not in self._beginnings:
            self._beginnings[phase.name] = [
                (table, entity)
                for ((name, table), entity), others in self.pipeline.measures.items()
                if not others
                and name in self.pipeline.ancestors[phase.name]
                and table in self.evidence.coverage
            ]
        return self._beginnings[phase.name]

    # -- what is there -----------------------------------------------------------------------

    def held(self, phase: Phase, day: date) -> int:
        """How many of the pipeline's own entity a phase holds in full, in every table that counts
        it. One source is enough; any other phase is all its tables."""
        entity = self.pipeline.entity
        counts = [
            self._counts((phase.name, spec.name), entity, day)[1]
            for spec in phase.tables
            if entity in spec.entities
        ]
        return max(counts) if phase.is_source else min(counts)

    def _counts(self, place: Place, entity: str, day: date) -> tuple[int, int]:
        """How many ids are due in a table, and how many of them it holds."""
        key = (place, entity, day)
        if key not in self._counted:
            self._counted[key] = self._count(place, entity, day)
        return self._counted[key]

    def _count(self, place: Place, entity: str, day: date) -> tuple[int, int]:
        others = self.pipeline.measures[place, entity]
        count = self.evidence.cell(place[1], day).entities.get(entity, 0)
        if not others:
            return count, count
        counts = [self.evidence.cell(other[1], day).entities.get(entity, 0) for other in others]
        if not self.pipeline.by_ids(entity):
            return max(counts), count
        if self.evidence.is_alike(self.pipeline, place, entity, day):
            return count, count
        if not any(counts):
            return 0, 0
        if not count and self.evidence.is_settled(self.pipeline, place, entity, day):
            return max(counts), 0
        apart = self.evidence.differences[place][day, entity]
        have = count - apart.surplus
        return have + apart.lacking, have

    def gap(self, phase: Phase, day: date) -> Gap | None:
        """What is wrong with a phase on a day on which rows are due."""
        found = [finding for spec in phase.tables for finding in self._findings(phase, spec, day)]
        if not found:
            return None
        short = [finding for finding in found if finding.reason in SHORT]
        found.sort(key=lambda finding: _WORST_FIRST[finding.reason])
        reason = found[0].reason
        if short:
            if reason is not GapReason.LATE or self._holds(phase, day):
                reason = GapReason.PARTIAL if self._holds(phase, day) else GapReason.MISSING
            worst = min(short, key=lambda finding: finding.found / finding.expected)
            want, have = worst.expected, worst.found
        else:
            want = have = count_due(phase, self.due(phase, day))
        return Gap(
            phase=phase.name,
            date=day,
            reason=reason,
            expected=want,
            found=have,
            tables=tuple(dict.fromkeys(finding.table for finding in (short or found))),
            findings=tuple(found),
        )

    def _findings(self, phase: Phase, spec: TableSpec, day: date) -> Iterator[Finding]:
        place, cell = (phase.name, spec.name), self.evidence.cell(spec.name, day)
        short = list(self._lacks(place, spec, day))
        if short:
            # The first entity is the one that people know the table by.
            yield short[0]
        elif not cell.rows and not phase.is_source and not self._holds_nothing_due(place, day):
            yield Finding(table=spec.name, reason=GapReason.PARTIAL, expected=1, found=0)
        if phase.is_source:
            yield from self.unsettled.sources.findings(phase, spec, day)
        if not spec.allow_surplus:
            yield from self._surplus(place, spec, day)
        if cell.duplicates:
            yield Finding(
                table=spec.name,
                reason=GapReason.DUPLICATE,
                expected=cell.rows - cell.duplicates,
                found=cell.rows,
                about=", ".join(spec.key),
            )
        for column, share in spec.filled.items():
            needed = _share(cell.rows, share)
            if cell.filled.get(column, 0) < needed:
                yield Finding(
                    table=spec.name,
                    reason=GapReason.UNFILLED,
                    expected=needed,
                    found=cell.filled.get(column, 0),
                    about=column,
                )
        for audit in spec.audits if cell.rows else ():
            if day in self.evidence.audited[spec.name][audit]:
                yield Finding(
                    table=spec.name, reason=GapReason.AUDIT, expected=0, found=1, about=audit
                )

    def _holds_nothing_due(self, place: Place, day: date) -> bool:
        """Whether all that a table is measured by holds rows, and none that it ought to hold."""
        entities = self.pipeline.places[place].entities
        others = [self.pipeline.measures[place, entity] for entity in entities]
        if not (others and all(others)) or any(self._counts(place, e, day)[0] for e in entities):
            return False
        return all(self.evidence.cell(other[1], day).rows for each in others for other in each)

    def _is_short(self, place: Place, day: date) -> bool:
        """Whether a table lacks rows of a date."""
        phase, table = place
        if self.pipeline.by_name[phase].is_source:
            return False
        if any(True for _ in self._lacks(place, self.pipeline.places[place], day)):
            return True
        return not self.evidence.cell(table, day).rows and not self._holds_nothing_due(place, day)

    def _lacks(self, place: Place, spec: TableSpec, day: date) -> Iterator[Finding]:
        for entity in spec.entities:
            if not self.pipeline.measures[place, entity]:
                continue
            want, have = self._counts(place, entity, day)
            needed = _share(want, spec.share(entity))
            if have < needed:
                apart = self.evidence.differences.get(place, {}).get((day, entity))
                yield Finding(
                    table=spec.name,
                    reason=GapReason.PARTIAL,
                    expected=needed,
                    found=have,
                    entity=entity,
                    ids=apart.lacks if apart else (),
                    apart=apart.lacking if apart else want - have,
                )

    def _surplus(self, place: Place, spec: TableSpec, day: date) -> Iterator[Finding]:
        for entity in self.pipeline.compared_by_ids(place):
            apart = self.evidence.differences.get(place, {}).get((day, entity))
            others = self.pipeline.measures[place, entity]
            if any(self._is_short(other, day) for other in others):
                continue  # its rows may be right, and it is what they are measured by that lacks
            if apart is not None and apart.surplus:
                have = self.evidence.cell(spec.name, day).entities[entity]
                yield Finding(
                    table=spec.name,
                    reason=GapReason.SURPLUS,
                    expected=have - apart.surplus,
                    found=have,
                    entity=entity,
                    ids=apart.holds,
                    apart=apart.surplus,
                )


def _share(of: int, share: float) -> int:
    """The least whole number that is a share of another."""
    return math.ceil(of * exact(share))
