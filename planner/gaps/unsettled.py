"""Days on which it is not yet known, or not any more, what is due. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import cached_property

from planner.evidence.evidence import Evidence
from planner.evidence.retention import Retention
from planner.gaps.gaps import SkipReason
from planner.gaps.sources import Sources
from planner.gaps.undue import Undue
from planner.pipeline.calendar import Calendar
from planner.pipeline.closing import Closing
from planner.pipeline.lookback import lookback
from planner.pipeline.phase import Phase
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Window


@dataclass(frozen=True, kw_only=True)
class Unsettled:
    """Open days, sources that are waited for, and sources whose rows are gone."""

    pipeline: Pipeline
    evidence: Evidence
    undue: Undue
    closing: Closing | None
    """None: every day has long been over."""
    last: date
    """The last day that is judged."""

    @cached_property
    def sources(self) -> Sources:
        """What sources lack of what is expected of them."""
        return Sources(
            calendar=Calendar(pipeline=self.pipeline),
            evidence=self.evidence,
            undue=self.undue,
            closing=self.closing,
            last=self.last,
        )

    @cached_property
    def retention(self) -> Retention:
        """Since when the sources hold rows."""
        return Retention(pipeline=self.pipeline, evidence=self.evidence)

    def is_open(self, phase: Phase, day: date) -> bool:
        """Whether a day of a phase is not closed."""
        return self.closing is not None and self.closing.is_open(phase, day)

    def why_source_empty(self, phase: Phase, day: date) -> SkipReason | None:
        """Why nothing is due in a source on a day that is closed; None when something is."""
        holds = self.evidence.holds(phase, day)
        if self.retention.is_gone(phase, day):
            return SkipReason.UNJUDGED
        if self.sources.is_waited_for(phase, day):
            includes = self.closing is not None and self.closing.includes(phase, day)
            return None if includes and holds else SkipReason.OPEN
        if holds or self.sources.is_short(phase, day):
            return None
        is_unknown = phase.name in self.evidence.bare and self.sources.calendar.covers(day)
        return SkipReason.UNJUDGED if is_unknown else SkipReason.OFF_DAY

    def rests_on_nothing(self, phase: Phase, day: date) -> bool:
        """Whether a phase holds rows on a day on which rows are due, and no source holds any."""
        if any(spec.name not in self.evidence.coverage for spec in phase.tables):
            return False  # it is judged elsewhere
        return self.evidence.holds(phase, day) and not any(
            self._holds_any(source, phase, day) for source in self._sources_of(phase)
        )

    def is_gone(self, phase: Phase, day: date) -> bool:
        """Whether rows of an unjudged day are gone, or not there, so that none may read them."""
        if self.evidence.holds(phase, day):
            return False
        return phase.is_source or any(
            self.retention.is_held_below(source.name, day) for source in self._sources_of(phase)
        )

    def told(self, phase: Phase, day: date, why: SkipReason) -> str:
        """What there is to know of a day that is neither complete nor a gap."""
        if why is SkipReason.UNJUDGED:
            above = [phase] if phase.is_source else self._sources_of(phase)
            names = [each.name for each in above if not self._holds_any(each, phase, day)]
            if self.evidence.bare.issuperset(names):
                return f"{', '.join(names)} holds no rows at all"
            return f"{', '.join(names)} holds no rows of it, and phases below do"
        if why is SkipReason.OPEN and self.closing is not None:
            if self.is_open(phase, day):
                return f"it closes at {self.closing.closes(phase, day):%Y-%m-%d %H:%M} UTC"
            return "its source is short of what is expected, and not late yet"
        return ""

    def _holds_any(self, source: Phase, phase: Phase, day: date) -> bool:
        """Whether a source holds rows that those of a date may be computed from."""
        return any(self.evidence.holds(source, past) for past in self._read(phase, day))

    def _read(self, phase: Phase, day: date) -> Iterable[date]:
        """The days of its sources that a date rests on: the date itself, but where weeks or months
        are among the phases, as far as any of these reads."""
        names = [phase.name, *self.pipeline.ancestors[phase.name]]
        phases = [each for each in self.pipeline.phases if each.name in names]
        if all(each.grain.is_daily for each in phases):
            return (day,)
        window = Window(start=day, end=day)
        for each in reversed(phases):
            start, end = lookback(window.start, each).start, lookback(window.end, each).end
            window = Window(start=start, end=end)
        return window.days()

    def _sources_of(self, phase: Phase) -> list[Phase]:
        above = map(self.pipeline.by_name.__getitem__, self.pipeline.ancestors[phase.name])
        return [each for each in above if each.is_source]
