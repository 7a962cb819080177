"""Judges phases and dates by what the warehouse showed. Pure.

A date is due where its sources hold rows and the calendar does not say otherwise. It is complete
when every table of the phase holds the ids that it is measured by, now, and none of the flaws that
the pipeline file describes. Never by numbers of dates, and never by what a plan expected.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property

from planner.gaps.accepted import Losses, left, mark
from planner.gaps.evidence import Evidence
from planner.gaps.gaps import (
    FLAWS,
    SHORT,
    Accepted,
    Assessment,
    Expected,
    Finding,
    Gap,
    GapReason,
    Skipped,
    SkipReason,
    count_due,
)
from planner.gaps.undue import Undue
from planner.pipeline.accept import Accept
from planner.pipeline.lookback import closing_day, lookback
from planner.pipeline.measures import Place
from planner.pipeline.model import exact
from planner.pipeline.phase import Phase
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.tables import TableSpec
from planner.pipeline.windows import Window

_WORST_FIRST = {
    reason: n for n, reason in enumerate((GapReason.MISSING, GapReason.PARTIAL, *FLAWS))
}

_RIGHTLY = (SkipReason.OPEN, SkipReason.BOOTSTRAP, SkipReason.EXCLUDED, SkipReason.ACCEPTED)
"""Why one of several phases above may hold nothing, so that nothing is due below it."""


def assess(
    pipeline: Pipeline,
    evidence: Evidence,
    window: Window,
    *,
    phases: Collection[str] | None = None,
) -> Assessment:
    """Judge phases on every day of `window`; all of them, unless some are named.

    `evidence` holds the tables that `planner.gaps.counted` names, over at least the window. What is
    absent from it raises `KeyError`: no evidence, no judgement.
    """
    judge = _Judge(pipeline=pipeline, evidence=evidence)
    gaps: dict[str, dict[date, Gap]] = {}
    orphans: dict[str, dict[date, Gap]] = {}
    empty: dict[str, dict[date, Skipped]] = {}
    complete: dict[str, frozenset[date]] = {}
    expected: dict[str, dict[date, Expected]] = {}
    held: dict[str, dict[date, int]] = {}
    accepted: dict[str, dict[date, Accepted]] = {}
    for phase in pipeline.phases:
        name = phase.name
        if phases is not None and name not in phases:
            continue
        gaps[name], empty[name], expected[name], orphans[name] = {}, {}, {}, {}
        done: set[date] = set()
        for day in window.days():
            why = judge.empty(phase, day)
            if why is not None:
                empty[name][day] = Skipped(phase=name, date=day, reason=why)
                orphan = judge.orphan(phase, day, why)
                if orphan is not None:
                    orphans[name][day] = orphan
                continue
            expected[name][day] = judge.due(phase, day)
            gap = judge.gap(phase, day)
            accepts = judge.losses.of(name, day) if gap is not None else ()
            if gap is not None and accepts:
                whole, gap = gap, judge.gap(phase, day, accepts)
                if whole.reason in SHORT and (gap is None or gap.reason not in SHORT):
                    accepted.setdefault(name, {})[day] = mark(accepts, whole)
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
        accepted=accepted,
    )


@dataclass(kw_only=True)
class _Judge:
    pipeline: Pipeline
    evidence: Evidence
    _empty: dict[tuple[str, date], SkipReason | None] = field(default_factory=dict)
    _counted: dict[tuple[Place, str, date], tuple[int, int]] = field(default_factory=dict)
    _beginnings: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    @cached_property
    def _undue(self) -> Undue:
        return Undue(pipeline=self.pipeline, listed=self.evidence.excluded)

    @cached_property
    def losses(self) -> Losses:
        return Losses(pipeline=self.pipeline, evidence=self.evidence)

    # -- what is due -------------------------------------------------------------------------

    def empty(self, phase: Phase, day: date) -> SkipReason | None:
        """Why nothing is due in a phase on a day; None when something is."""
        key = (phase.name, day)
        if key not in self._empty:
            self._empty[key] = self._why_empty(phase, day)
        return self._empty[key]

    def _why_empty(self, phase: Phase, day: date) -> SkipReason | None:
        if not phase.grain.is_date(day):
            return SkipReason.BETWEEN
        undue = self._undue.why_all(phase, day)
        if undue is SkipReason.EXCLUDED:
            return undue
        if phase.is_source:
            return None if self._holds(phase, day) else SkipReason.OFF_DAY
        above = [self._why_absent(phase, name, day) for name in phase.after]
        absent = [why for why in above if why is not None]
        if len(absent) == len(above):
            return absent[0]
        if absent:
            return next((why for why in _RIGHTLY if why in absent), SkipReason.UPSTREAM_MISSING)
        if undue is None and self._is_open(phase, day):
            return SkipReason.OPEN
        if undue is None and any(self._is_lost(name, day) for name in phase.after):
            return None if self._holds(phase, day) else SkipReason.ACCEPTED
        return undue

    def _why_absent(self, phase: Phase, name: str, day: date) -> SkipReason | None:
        """Why a phase above has nothing due for a date: of that day, or, where it is due more or
        less often, of every day in the date's window."""
        above = self.pipeline.by_name[name]
        if above.grain == phase.grain:
            return self.empty(above, day)
        found = {self.empty(above, past) for past in lookback(day, phase).days()}
        if None in found:
            return None
        return next((why for why in _RIGHTLY if why in found), SkipReason.OFF_DAY)

    def _is_open(self, phase: Phase, day: date) -> bool:
        """Whether a date reads days that are not over, after it or of its period."""
        today = self.evidence.today
        if today is None or phase.name not in self.pipeline.looking_ahead:
            return False
        return closing_day(day, phase, self.pipeline) >= today

    def _is_lost(self, name: str, day: date) -> bool:
        """Whether a phase holds nothing on a day on which rows are due, and that is accepted."""
        accepts, phase = self.losses.of(name, day), self.pipeline.by_name[name]
        return (
            bool(accepts)
            and phase.grain.is_date(day)
            and not (self._holds(phase, day) or self.gap(phase, day, accepts) is not None)
        )

    def _holds(self, phase: Phase, day: date) -> bool:
        return any(day in self.evidence.coverage[spec.name] for spec in phase.tables)

    def orphan(self, phase: Phase, day: date, why: SkipReason) -> Gap | None:
        """Rows of a phase on a day on which none of its sources holds any, or that is no date."""
        is_odd = why in (SkipReason.OFF_DAY, SkipReason.BETWEEN)
        if phase.is_source or not is_odd or not self._holds(phase, day):
            return None
        findings = tuple(
            Finding(
                table=spec.name,
                reason=GapReason.ORPHAN,
                expected=0,
                found=self.evidence.cell(spec.name, day).rows,
                about=str(phase.grain) if why is SkipReason.BETWEEN else "",
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
        for table, entity in self._beginning(phase) if phase.grain.is_daily else ():
            count = self.evidence.cell(table, day).entities.get(entity, 0)
            due[entity] = max(due.get(entity, 0), count)
        for spec in self._undue.due(phase, day):
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
        able = [spec for spec in phase.tables if entity in spec.entities]
        specs = [spec for spec in self._undue.due(phase, day) if spec in able] or able
        counts = [self._counts((phase.name, spec.name), entity, day)[1] for spec in specs]
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
        if not self.pipeline.by_name[place[0]].grain.is_daily:
            apart = self.evidence.differences[place][day, entity]
            return count - apart.surplus + apart.lacking, count - apart.surplus
        counts = [self.evidence.cell(other[1], day).entities.get(entity, 0) for other in others]
        if not self.pipeline.by_ids(entity):
            return self.losses.most(place, entity, day, max(counts)), count
        if self.evidence.is_alike(self.pipeline, place, entity, day):
            return count, count
        if not any(counts):
            return 0, 0
        is_known = not self.losses.reach(place[0], day)
        if is_known and not count and self.evidence.is_settled(self.pipeline, place, entity, day):
            return max(counts), 0
        apart = self.evidence.differences[place][day, entity]
        have = count - apart.surplus
        lost = self.losses.above(place[0], entity, day).intersection(apart.lacks)
        return have + apart.lacking - len(lost), have

    def gap(self, phase: Phase, day: date, accepts: tuple[Accept, ...] = ()) -> Gap | None:
        """What is wrong with a phase on a day on which rows are due, and is not accepted."""
        found = [
            self._shown(rest)
            for spec in self._undue.due(phase, day)
            for finding in self._findings(phase, spec, day, accepts)
            if (rest := left(accepts, finding)) is not None
        ]
        if not found:
            return None
        short = [finding for finding in found if finding.reason in SHORT]
        found.sort(key=lambda finding: _WORST_FIRST[finding.reason])
        reason = found[0].reason
        if short:
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

    def _shown(self, finding: Finding) -> Finding:
        return replace(finding, ids=finding.ids[: self.evidence.ids_named])

    def _findings(
        self, phase: Phase, spec: TableSpec, day: date, accepts: tuple[Accept, ...]
    ) -> Iterator[Finding]:
        place, cell = (phase.name, spec.name), self.evidence.cell(spec.name, day)
        lacks = list(self._lacks(place, spec, day))
        short = [rest for found in lacks if (rest := left(accepts, found)) is not None]
        if short:
            # The first entity is the one that people know the table by.
            yield short[0]
        elif not lacks and not cell.rows and not phase.is_source:  # one source is enough
            yield Finding(table=spec.name, reason=GapReason.PARTIAL, expected=1, found=0)
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

    def _lacks(self, place: Place, spec: TableSpec, day: date) -> Iterator[Finding]:
        for entity in spec.entities:
            if not self.pipeline.measures[place, entity]:
                continue
            want, have = self._counts(place, entity, day)
            needed = _share(want, spec.min_coverage)
            if have < needed:
                apart = self.evidence.differences.get(place, {}).get((day, entity))
                lost = self.losses.above(place[0], entity, day)
                yield Finding(
                    table=spec.name,
                    reason=GapReason.PARTIAL,
                    expected=needed,
                    found=have,
                    entity=entity,
                    ids=tuple(each for each in apart.lacks if each not in lost) if apart else (),
                    apart=want - have,
                )

    def _surplus(self, place: Place, spec: TableSpec, day: date) -> Iterator[Finding]:
        for entity in self.pipeline.compared_by_ids(place[0], spec):
            apart = self.evidence.differences.get(place, {}).get((day, entity))
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
