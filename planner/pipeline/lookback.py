"""Which days a date is computed from, and which days are computed from it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from planner.pipeline.phase import Phase
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Window


def lookback(day: date, phase: Phase) -> Window:
    """The days a date of `phase` is computed from."""
    return Window(start=moved(day, -phase.days_before), end=moved(day, phase.days_after))


def reach(changed: date, phase: Phase) -> Iterator[date]:
    """The days of `phase` that are computed from the upstream date `changed`."""
    first, last = moved(changed, -phase.days_after), moved(changed, phase.days_before)
    return Window(start=first, end=last).days()


def closing_day(day: date, phase: Phase, pipeline: Pipeline) -> date:
    """The last day that has to be over before a date of `phase` can be computed: its own, or that
    which it, or a phase that it reads, reaches forward to."""
    return moved(day, pipeline.days_ahead[phase.name])


def with_lookback(pipeline: Pipeline, scope: Window) -> Window:
    """The days whose coverage decides about `scope`: what it is computed from, what it changes."""
    reach = pipeline.lookback_total.days
    return Window(start=moved(scope.start, -reach), end=moved(scope.end, reach))


def moved(day: date, days: int) -> date:
    """A day some days later or earlier, or the last or first there is."""
    first, last = date.min.toordinal(), date.max.toordinal()
    return date.fromordinal(min(max(day.toordinal() + days, first), last))
