"""Which days a date is computed from, and which days are computed from it. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import date
from typing import TYPE_CHECKING

from planner.pipeline.windows import Window, moved

if TYPE_CHECKING:
    from planner.pipeline.phase import Phase
    from planner.pipeline.pipeline import Pipeline


def lookback(day: date, phase: Phase) -> Window:
    """The days a date of `phase` is computed from: its window, or its period."""
    return Window.known(*ends(day, phase))


def ends(day: date, phase: Phase) -> tuple[date, date]:
    """The first and the last day that a date of `phase` is computed from."""
    if phase.reads_its_period:
        period = phase.grain.period(day)
        return period.start, period.end
    return moved(day, -phase.days_before), moved(day, phase.days_after)


def upstream(day: date, phase: Phase) -> Iterator[tuple[str, date]]:
    """The phases and dates that a date of `phase` is computed from."""
    is_alone = phase.grain.is_daily and not (phase.days_before or phase.days_after)
    days = [day] if is_alone else list(lookback(day, phase).days())
    for name in phase.after:
        for past in days:
            yield name, past


def reach(changed: Collection[date], phase: Phase) -> set[date]:
    """The dates of `phase` that are computed from any of the upstream dates `changed`."""
    if phase.reads_its_period:
        return {phase.grain.date_of(day) for day in changed}
    if phase.grain.is_daily and not (phase.days_before or phase.days_after):
        return set(changed)
    before, after = phase.days_before, phase.days_after
    found: set[date] = set()
    done = date.min.toordinal() - 1
    for number in sorted(day.toordinal() for day in changed):  # windows overlap
        last = min(number + before, date.max.toordinal())
        found.update(map(date.fromordinal, range(max(number - after, done + 1), last + 1)))
        done = last
    return {day for day in found if phase.grain.is_date(day)}


def closing_day(day: date, phase: Phase, pipeline: Pipeline) -> date:
    """The last day that has to be over before a date of `phase` can be computed: its own, or that
    which it, or a phase that it reads, reaches forward to."""
    if phase.name not in pipeline.looking_ahead:
        return day
    last = lookback(day, phase).end
    above = [pipeline.by_name[name] for name in phase.after if name in pipeline.looking_ahead]
    return max(
        [day, last, *(closing_day(_last_date(last, each), each, pipeline) for each in above)]
    )


def _last_date(day: date, phase: Phase) -> date:
    """The last date of a phase until a day."""
    found = phase.grain.date_of(day)
    return found if found <= day else phase.grain.date_of(moved(phase.grain.period(day).start, -1))


def with_lookback(pipeline: Pipeline, scope: Window) -> Window:
    """The days whose coverage decides about `scope`: what it is computed from, what it changes."""
    reach = pipeline.lookback_total.days
    return Window(start=moved(scope.start, -reach), end=moved(scope.end, reach))


def with_periods(pipeline: Pipeline, phases: Collection[str], window: Window) -> Window:
    """The days whose coverage decides about some phases in a window: it alone, unless one of them,
    or one that they read, is due by week or month."""
    names = {*phases, *(above for name in phases for above in pipeline.ancestors[name])}
    is_daily = all(pipeline.by_name[name].grain.is_daily for name in names)
    return window if is_daily else with_lookback(pipeline, window)
