"""What each phase is computed from, as small data: a page lights a date's window by it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.data import Data
from planner.pipeline.grain import Every
from planner.pipeline.weekdays import WEEKDAYS

if TYPE_CHECKING:
    from planner.pipeline.pipeline import Pipeline


class PhaseShape(Data):
    """How the dates of a phase lie, and which days of which phases one of them is computed from."""

    phase: str
    after: tuple[str, ...]
    """The phases that it reads."""
    before: int
    """Days before a date that it is computed from."""
    ahead: int
    """Days after it."""
    every: Every
    starts: int
    """Of a phase that is due by week: the weekday that its weeks begin on, Monday being 0."""
    dated: str
    """Whether the date of a period is its `first` or its `last` day."""
    reads_its_period: bool
    """Whether it is computed from the days of its period, and not from a window around its date."""


def shapes(pipeline: Pipeline) -> tuple[PhaseShape, ...]:
    """The shape of every phase, in order."""
    return tuple(
        PhaseShape(
            phase=phase.name,
            after=tuple(phase.after),
            before=phase.days_before,
            ahead=phase.days_after,
            every=phase.grain.every,
            starts=(WEEKDAYS.index(phase.grain.on) + (phase.grain.dated == "last")) % 7,
            dated=phase.grain.dated,
            reads_its_period=phase.reads_its_period,
        )
        for phase in pipeline.phases
    )
