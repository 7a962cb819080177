"""Losses that are accepted: rows that cannot come any more, and keep nothing else waiting."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from planner.pipeline.days import DayList
from planner.pipeline.model import Line, Model, Name


class Accept(Model):
    """Dates of a phase whose loss is accepted, and why."""

    phase: Name
    """The phase whose rows are lost. A source, too."""
    dates: DayList
    """Days and ranges, as in `"2026-03-01..2026-03-07, 2026-03-11"`, or a list of them."""
    ids: tuple[Line, ...] = ()
    """The ids that may be lacking; a date that lacks any other is a gap. Without it any id may
    be."""
    reason: Line
    """Why the rows cannot come any more, in one line."""
    until: date | None = None
    """The last day on which it is accepted, by UTC. From the next one on the date is a gap
    again."""

    def covers(self, day: date) -> bool:
        """Whether a date is one of those."""
        return any(day in window for window in self.dates)


def active(accepts: Iterable[Accept], today: date) -> tuple[Accept, ...]:
    """Those that still hold on a day."""
    return tuple(each for each in accepts if each.until is None or today <= each.until)
