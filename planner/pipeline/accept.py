"""Losses that are accepted: rows that cannot come any more, and keep nothing else waiting."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from planner.pipeline.days import DayList
from planner.pipeline.model import Line, Model, Name


class Accept(Model):
    """Dates of a phase whose loss is accepted, and why."""

    phase: Name
    dates: DayList
    ids: tuple[Line, ...] = ()
    """Only these may be lacking. None: whatever is."""
    reason: Line
    until: date | None = None
    """The last day on which it is accepted: from the next one on it is a gap. None: for good."""

    def covers(self, day: date) -> bool:
        """Whether a date is one of those."""
        return any(day in window for window in self.dates)


def active(accepts: Iterable[Accept], today: date) -> tuple[Accept, ...]:
    """Those that still hold on a day."""
    return tuple(each for each in accepts if each.until is None or today <= each.until)
