"""The completeness matrix: season × phase, and the cells it is counted from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.data import Data
from planner.pipeline.calendar import Calendar

if TYPE_CHECKING:
    from planner.gaps.gaps import Assessment
    from planner.pipeline.pipeline import Pipeline
    from planner.pipeline.windows import Window


class Count(Data):
    """How one phase stands in one part of the calendar."""

    expected: int = 0
    """Dates that should hold rows."""
    complete: int = 0
    """Dates that do, in full, and are not stale; those of accepted losses among them."""
    accepted: int = 0
    """How many of these lack rows, which the pipeline file accepts."""
    entities: int | None = None
    """How many of the pipeline's entity (games, say) it holds; None when it does not count it."""

    @property
    def is_complete(self) -> bool:
        """Whether every date that should hold rows does."""
        return self.complete == self.expected


Matrix = dict[str, dict[str, Count]]
"""Season, or `season/window` (`2021-22/playoffs`), → phase → count."""


def matrix(pipeline: Pipeline, assessment: Assessment, scope: Window) -> Matrix:
    """Count every phase in every season, and in every named window of a season, as far as `scope`
    reaches: what is judged around it, for lookback, is not counted."""
    counted: Matrix = {}
    for season in Calendar(pipeline=pipeline).seasons(scope):
        parts: dict[str, Window] = {season.name: season}
        parts |= {f"{season.name}/{name}": window for name, window in season.windows.items()}
        for name, window in parts.items():
            part = scope.common(window)
            if part is not None:
                counted[name] = {
                    phase.name: _count(assessment, phase.name, part) for phase in pipeline.phases
                }
    return counted


def _count(assessment: Assessment, phase: str, window: Window) -> Count:
    stale = assessment.stale.get(phase, ())
    due = sum(
        day in window for days in (assessment.complete, assessment.gaps) for day in days[phase]
    )
    complete = sum(day in window for day in assessment.complete[phase] if day not in stale)
    accepted = assessment.accepted.get(phase, ())
    held = assessment.held.get(phase)
    return Count(
        expected=due,
        complete=complete,
        accepted=sum(day in window and day in assessment.complete[phase] for day in accepted),
        entities=None if held is None else sum(n for day, n in held.items() if day in window),
    )
