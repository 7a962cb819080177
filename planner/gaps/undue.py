"""What the pipeline file says is not due: days that are excluded, and the first of a season. Pure.

Per table: a phase has nothing to do on a date on which none of its tables is due.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

from planner.gaps.gaps import SkipReason
from planner.pipeline.calendar import Calendar
from planner.pipeline.exclude import Excluded
from planner.pipeline.phase import Phase
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.tables import TableSpec


@dataclass(frozen=True, kw_only=True)
class Undue:
    """The exclusions and the bootstrap of a pipeline file, table by table."""

    pipeline: Pipeline
    listed: Mapping[int, frozenset[date]]
    """As `Evidence.excluded`. An exclusion whose days were not read raises `KeyError`."""
    _known: dict[tuple[str, date], list[SkipReason | None]] = field(default_factory=dict)
    """Phase and date → why nothing is due of each of its tables, once it was asked."""

    @cached_property
    def _calendar(self) -> Calendar:
        return Calendar(pipeline=self.pipeline)

    @cached_property
    def _exclusions(self) -> dict[tuple[str, str], list[tuple[int, Excluded]]]:
        """Phase and table → the exclusions that are about it."""
        return {
            (phase.name, spec.name): [
                (n, part)
                for n, part in enumerate(self.pipeline.exclude)
                if part.is_about(phase.name, spec.name)
            ]
            for phase in self.pipeline.phases
            for spec in phase.tables
        }

    def why(self, phase: Phase, spec: TableSpec, day: date) -> SkipReason | None:
        """Why nothing is due of a table on a day; None when the file does not say."""
        for n, part in self._exclusions[phase.name, spec.name]:
            if day in part.window and (part.from_ is None or day in self.listed[n]):
                return SkipReason.EXCLUDED
        early = phase.early_days(spec, self.pipeline.bootstrap_days)
        if early and self._calendar.is_bootstrap(day, early):
            return SkipReason.BOOTSTRAP
        return None

    @cached_property
    def is_silent(self) -> bool:
        """Whether the file excludes nothing, and no phase leaves the first days of a season out."""
        usual = self.pipeline.bootstrap_days
        return not self.pipeline.exclude and not any(
            phase.early_days(spec, usual) for phase in self.pipeline.phases for spec in phase.tables
        )

    def reasons(self, phase: Phase, day: date) -> list[SkipReason | None]:
        """Why nothing is due of each table of a phase on a day; None where the file is silent."""
        key = (phase.name, day)
        if key not in self._known:
            self._known[key] = [self.why(phase, spec, day) for spec in phase.tables]
        return self._known[key]

    def due(self, phase: Phase, day: date) -> list[TableSpec]:
        """The tables of a phase of which the file does not say that nothing is due."""
        whys = self.reasons(phase, day)
        return [spec for spec, why in zip(phase.tables, whys, strict=True) if why is None]

    def why_all(self, phase: Phase, day: date) -> SkipReason | None:
        """Why nothing is due of any table; excluded where one of them is. None when one is due."""
        found = self.reasons(phase, day)
        if None in found:
            return None
        is_excluded = SkipReason.EXCLUDED in found
        return SkipReason.EXCLUDED if is_excluded else SkipReason.BOOTSTRAP
