"""Judges phases and dates by what the warehouse showed. Pure.

A date is due where its sources hold rows and the calendar does not say otherwise. It is complete
when every table of the phase holds the ids that it is measured by, now, and none of the flaws that
the pipeline file describes. Never by numbers of dates, and never by what a plan expected.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property

from planner.evidence.evidence import Evidence
from planner.gaps.accepted import Losses, left, mark
from planner.gaps.figures import Figures
from planner.gaps.flaws import flaws_of_rows, least
from planner.gaps.gaps import (
    FLAWS,
    SHORT,
    Accepted,
    Assessment,
    Finding,
    Gap,
    GapReason,
    Skipped,
    SkipReason,
    count_due,
)
from planner.gaps.kinds import Kind, Kinds
from planner.gaps.undue import Undue
from planner.gaps.unsettled import Unsettled
from planner.gaps.verdicts import Verdict, Verdicts, assessment_of
from planner.pipeline.accept import Accept
from planner.pipeline.closing import Closing
from planner.pipeline.lookback import lookback
from planner.pipeline.measures import Place
from planner.pipeline.phase import Phase
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.tables import TableSpec
from planner.pipeline.windows import Window

_WORST_FIRST = {
    reason: n
    for n, reason in enumerate((GapReason.LATE, GapReason.MISSING, GapReason.PARTIAL, *FLAWS))
}

_UNSETTLED = (SkipReason.UNJUDGED, SkipReason.OPEN)
"""Why it is not known what a phase above holds in the end, so that nothing below it is judged."""

_RIGHTLY = (SkipReason.BOOTSTRAP, SkipReason.EXCLUDED, SkipReason.ACCEPTED)
"""Why one of several phases above may hold nothing, so that nothing is due below it."""


def assess(
    pipeline: Pipeline,
    evidence: Evidence,
    window: Window,
    *,
    phases: Collection[str] | None = None,
    closing: Closing | None = None,
) -> Assessment:
    """Judge phases on every day of `window`; all of them, unless some are named.

    `evidence` holds the tables that `planner.evidence.tables` names, over at least the window.
    What is absent from it raises `KeyError`: no evidence, no judgement. Without `closing`, every
    day has long been over.
    """
    judge = _Judge(pipeline=pipeline, evidence=evidence, closing=closing, last=window.end)
    kinds = judge.kinds(window)
    judged = [each for each in pipeline.phases if phases is None or each.name in phases]
    found = {each.name: Verdicts(counts_entity=judge.counts_entity(each)) for each in judged}
    known: dict[Kind, list[Verdict]] = {}
    for day in window.days():
        kind = kinds.of(day)
        verdicts = None if kind is None else known.get(kind)
        if verdicts is None:
            verdicts = [judge.verdict(phase, day) for phase in judged]
            if kind is not None:
                known[kind] = verdicts
        for phase, verdict in zip(judged, verdicts, strict=True):
            found[phase.name].add(day, verdict)
    return assessment_of(window, found)


@dataclass(kw_only=True)
class _Judge:
    pipeline: Pipeline
    evidence: Evidence
    closing: Closing | None
    last: date
    _empty: dict[tuple[str, date], SkipReason | None] = field(default_factory=dict)

    @cached_property
    def _undue(self) -> Undue:
        return Undue(pipeline=self.pipeline, listed=self.evidence.excluded)

    @cached_property
    def losses(self) -> Losses:
        return Losses(pipeline=self.pipeline, evidence=self.evidence)

    @cached_property
    def figures(self) -> Figures:
        return Figures(
            pipeline=self.pipeline, evidence=self.evidence, undue=self._undue, losses=self.losses
        )

    @cached_property
    def unsettled(self) -> Unsettled:
        return Unsettled(
            pipeline=self.pipeline,
            evidence=self.evidence,
            undue=self._undue,
            closing=self.closing,
            last=self.last,
        )

    def kinds(self, window: Window) -> Kinds:
        """The kinds of the dates of a window."""
        return Kinds(
            pipeline=self.pipeline,
            evidence=self.evidence,
            undue=self._undue,
            unsettled=self.unsettled,
            closing=self.closing,
            window=window,
        )

    def verdict(self, phase: Phase, day: date) -> Verdict:
        """How a phase stands on a day."""
        why, holds = self.empty(phase, day), self._holds(phase, day)
        if why is not None:
            told = self.unsettled.told(phase, day, why)
            is_unjudged = why is SkipReason.UNJUDGED
            return Verdict(
                holds=holds,
                empty=Skipped(phase=phase.name, date=day, reason=why, detail=told),
                is_gone=is_unjudged and self.unsettled.is_gone(phase, day),
                orphan=self.orphan(phase, day, why),
            )
        gap, loss = self.lacking(phase, day)
        return Verdict(
            holds=holds,
            expected=self.figures.due(phase, day),
            gap=gap,
            accepted=loss,
            held=self.figures.held(phase, day) if self.counts_entity(phase) else None,
        )

    def counts_entity(self, phase: Phase) -> bool:
        """Whether any table of a phase counts the pipeline's entity."""
        return any(self.pipeline.entity in spec.entities for spec in phase.tables)

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
        if self.unsettled.is_open(phase, day):
            return SkipReason.OPEN
        if phase.is_source:
            return self.unsettled.why_source_empty(phase, day)
        absent = self._why_upstream_empty(phase, day)
        if absent is not None:
            return absent
        if undue is None and any(self._is_lost(name, day) for name in phase.after):
            return None if self._holds(phase, day) else SkipReason.ACCEPTED
        if undue is None and self.unsettled.rests_on_nothing(phase, day):
            return SkipReason.UNJUDGED
        return undue

    def _why_upstream_empty(self, phase: Phase, day: date) -> SkipReason | None:
        """Why nothing is due in what a date is computed from; None when something is in each."""
        above = [self._why_absent(phase, name, day) for name in phase.after]
        absent = [why for why in above if why is not None]
        for why in _UNSETTLED:
            if why in absent:
                return why
        if len(absent) == len(above):
            return absent[0]
        if phase.has_early_days:
            absent = [why for why in absent if why is not SkipReason.BOOTSTRAP]
        if absent:
            return next((why for why in _RIGHTLY if why in absent), SkipReason.UPSTREAM_MISSING)
        return None

    def _why_absent(self, phase: Phase, name: str, day: date) -> SkipReason | None:
        """Why a phase above has nothing due for a date: of that day, or, where it is due more or
        less often, of every day in the date's window. Any of these that is not settled decides."""
        above = self.pipeline.by_name[name]
        if above.grain == phase.grain:
            return self.empty(above, day)
        found = {self.empty(above, past) for past in lookback(day, phase).days()}
        unsettled = next((why for why in _UNSETTLED if why in found), None)
        if unsettled is not None or None in found:
            return unsettled
        return next((why for why in _RIGHTLY if why in found), SkipReason.OFF_DAY)

    def _is_lost(self, name: str, day: date) -> bool:
        """Whether a phase holds nothing on a day on which rows are due, and that is accepted."""
        accepts, phase = self.losses.of(name, day), self.pipeline.by_name[name]
        return (
            bool(accepts)
            and phase.grain.is_date(day)
            and not (self._holds(phase, day) or self.gap(phase, day, accepts) is not None)
        )

    def _holds(self, phase: Phase, day: date) -> bool:
        return self.evidence.holds(phase, day)

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

    # -- what is there -----------------------------------------------------------------------

    def lacking(self, phase: Phase, day: date) -> tuple[Gap | None, Accepted | None]:
        """What is wrong with a phase on a day on which rows are due, and what of it is accepted."""
        gap = self.gap(phase, day)
        accepts = self.losses.of(phase.name, day) if gap is not None else ()
        if gap is None or not accepts:
            return gap, None
        rest = self.gap(phase, day, accepts)
        is_whole = gap.reason in SHORT and (rest is None or rest.reason not in SHORT)
        return rest, mark(accepts, gap) if is_whole else None

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
            if reason is not GapReason.LATE or self._holds(phase, day):
                reason = GapReason.PARTIAL if self._holds(phase, day) else GapReason.MISSING
            worst = min(short, key=lambda finding: finding.found / finding.expected)
            want, have = worst.expected, worst.found
        else:
            want = have = count_due(phase, self.figures.due(phase, day))
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
            others = tuple(dict.fromkeys(each.entity for each in short[1:]))
            yield replace(short[0], others=others)
        elif (
            not lacks
            and not cell.rows
            and not phase.is_source  # one source is enough
            and not self._holds_nothing_due(place, day)
        ):
            yield Finding(table=spec.name, reason=GapReason.PARTIAL, expected=1, found=0)
        if phase.is_source:
            yield from self.unsettled.sources.findings(phase, spec, day)
        if not spec.allow_surplus:
            yield from self._surplus(place, spec, day)
        asked = spec.audits if cell.rows else ()
        failed = [each for each in asked if day in self.evidence.audited[spec.name][each]]
        yield from flaws_of_rows(spec, cell, failed)

    def _holds_nothing_due(self, place: Place, day: date) -> bool:
        """Whether all that a table is measured by holds rows, and none that it ought to hold."""
        entities = self.pipeline.places[place].entities
        others = [self.pipeline.measures[place, entity] for entity in entities]
        if not (others and all(others)) or any(
            self.figures.counts(place, e, day)[0] for e in entities
        ):
            return False
        return all(self.evidence.cell(other[1], day).rows for each in others for other in each)

    def _is_short(self, place: Place, day: date) -> bool:
        """Whether a table lacks rows of a date, as far as it was looked into."""
        phase, table = self.pipeline.by_name[place[0]], place[1]
        is_asked = phase.grain.is_daily or any(
            day == asked for asked, _ in self.evidence.differences.get(place, ())
        )
        if phase.is_source or not is_asked:
            return False
        if any(True for _ in self._lacks(place, self.pipeline.places[place], day)):
            return True
        return not self.evidence.cell(table, day).rows and not self._holds_nothing_due(place, day)

    def _is_measured_by_short(self, place: Place, entity: str, day: date) -> bool:
        """Whether what a table is measured by lacks rows of a date, or of a day of its period."""
        phase = self.pipeline.by_name[place[0]]
        others = self.pipeline.measures[place, entity]
        if phase.grain.is_daily:
            return any(self._is_short(other, day) for other in others)
        return any(
            self._is_short(other, past)
            for other in others
            for past in lookback(day, phase).days()
            if self.empty(self.pipeline.by_name[other[0]], past) is None
        )

    def _lacks(self, place: Place, spec: TableSpec, day: date) -> Iterator[Finding]:
        for entity in spec.entities:
            if not self.pipeline.measures[place, entity]:
                continue
            want, have = self.figures.counts(place, entity, day)
            needed = least(want, spec.share(entity))
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
        for entity in self.pipeline.compared_by_ids(place):
            apart = self.evidence.differences.get(place, {}).get((day, entity))
            if self._is_measured_by_short(place, entity, day):
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
