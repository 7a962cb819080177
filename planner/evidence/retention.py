"""Dates whose source keeps no rows of them any more, while phases below it do. Pure.

A source whose first rows are younger than those of what is computed from it has lost some, or never
had them. Nothing tells what was due on the dates before its first: they are unjudged.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date

from planner.evidence.evidence import Evidence
from planner.pipeline.phase import Phase
from planner.pipeline.pipeline import Pipeline


@dataclass(frozen=True, kw_only=True)
class Retention:
    """Since when the sources of a pipeline hold rows."""

    pipeline: Pipeline
    evidence: Evidence
    _spans: dict[str, tuple[date, date] | None] = field(default_factory=dict)

    def is_gone(self, source: Phase, day: date) -> bool:
        """Whether a day is before a source's first rows, and not before those below it."""
        if source.name not in self._spans:
            self._spans[source.name] = self._span(source.name)
        span = self._spans[source.name]
        return span is not None and span[0] <= day < span[1]

    def begins_late(self, source: str) -> bool:
        """Whether a source begins after what is below it, as far as it was counted."""
        return self._span(source) is not None

    def is_held_below(self, source: str, day: date) -> bool:
        """Whether any phase below a source holds rows of a day, or of its week or month, as far as
        it was counted."""
        return any(
            phase.grain.date_of(day) in self.evidence.coverage[table]
            for phase, table in self._below(source)
        )

    def _span(self, source: str) -> tuple[date, date] | None:
        """From the first rows below a source until its own first; None where it has older ones."""
        if source in self.evidence.held_before:
            return None
        own = first_held(self.evidence, tables_of(self.pipeline, source)) or date.max
        periods = (
            phase.grain.period(min(cells))  # no later one begins or ends before it
            for phase, table in self._below(source)
            if (cells := self.evidence.coverage[table])
        )
        # A week or month in which the source begins is no older than the source.
        below = min((each.start for each in periods if each.end < own), default=None)
        return None if below is None else (below, own)

    def _below(self, source: str) -> list[tuple[Phase, str]]:
        """The phases below a source, each with its tables that were counted."""
        return [
            (phase, table)
            for phase in self.pipeline.phases
            if source in self.pipeline.ancestors[phase.name]
            for table in tables_of(self.pipeline, phase.name)
            if table in self.evidence.coverage
        ]


def tables_of(pipeline: Pipeline, phase: str) -> list[str]:
    """The names of a phase's tables."""
    return [spec.name for spec in pipeline.by_name[phase].tables]


def first_held(evidence: Evidence, tables: list[str]) -> date | None:
    """The first date on which any of some tables holds rows."""
    return min((day for table in tables for day in evidence.coverage[table]), default=None)
