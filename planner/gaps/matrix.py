"""The completeness matrix: season × phase, and the cells it is counted from."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping
from datetime import date
from itertools import accumulate
from typing import TYPE_CHECKING

from planner.data import Data
from planner.pipeline.calendar import Calendar
from planner.pipeline.windows import Picked

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
    phases = {phase.name: _Dates(assessment, phase.name, scope) for phase in pipeline.phases}
    for season in Calendar(pipeline=pipeline).seasons(scope):
        parts: dict[str, Window] = {season.name: season}
        parts |= {f"{season.name}/{name}": window for name, window in season.windows.items()}
        for name, window in parts.items():
            if scope.common(window) is not None:
                counted[name] = {phase: dates.count(window) for phase, dates in phases.items()}
    return counted


class _Dates:
    """The dates of one phase in order, so that a season of them is counted without the others."""

    def __init__(self, assessment: Assessment, phase: str, scope: Window) -> None:
        complete, gaps = assessment.complete[phase], assessment.gaps[phase]
        stale, accepted = assessment.stale.get(phase, ()), assessment.accepted.get(phase, ())
        held = assessment.held.get(phase)
        self._due = _in_order((*complete, *gaps), scope)
        self._complete = _in_order((day for day in complete if day not in stale), scope)
        self._accepted = _in_order((day for day in accepted if day in complete), scope)
        self._held = None if held is None else _Sums(held, scope)

    def count(self, window: Window) -> Count:
        """How the phase stands in a window."""
        return Count(
            expected=_within(self._due, window),
            complete=_within(self._complete, window),
            accepted=_within(self._accepted, window),
            entities=None if self._held is None else self._held.within(window),
        )


class _Sums:
    """Numbers by date, added up from the first date on."""

    def __init__(self, numbers: Mapping[date, int], scope: Window) -> None:
        self._days = _in_order(numbers, scope)
        self._sums = [0, *accumulate(numbers[day] for day in self._days)]

    def within(self, window: Window) -> int:
        """The sum over the days of a window."""
        first, after = _ends(self._days, window)
        return self._sums[after] - self._sums[first]


def _in_order(days: Iterable[date], scope: Window) -> list[date]:
    if isinstance(scope, Picked):
        return sorted(day for day in days if day in scope)
    found = sorted(days)
    first, after = _ends(found, scope)
    return found[first:after]


def _within(days: list[date], window: Window) -> int:
    first, after = _ends(days, window)
    return after - first


def _ends(days: list[date], window: Window) -> tuple[int, int]:
    """Where the days of a window begin in a list of days in order, and where they have ended."""
    return bisect_left(days, window.start), bisect_right(days, window.end)
