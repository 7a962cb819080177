"""Phases that are due once a week or once a month: their periods, and the date of each. Pure."""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from datetime import date
from typing import Literal

from planner.pipeline.model import Model
from planner.pipeline.weekdays import WEEKDAYS, Weekday
from planner.pipeline.windows import Window, moved

Every = Literal["day", "week", "month"]
Dated = Literal["first", "last"]

WEEK_DAYS = 7


class Grain(Model):
    """How often a phase is due, and on which day of a period its rows stand."""

    every: Every
    on: Weekday
    """Of a week: the weekday of its date."""
    dated: Dated
    """Whether that is the first or the last day of the period."""

    def __str__(self) -> str:
        """`every week, dated by its last day (sunday)`."""
        weekday = f" ({self.on})" if self.every == "week" else ""
        return f"every {self.every}, dated by its {self.dated} day{weekday}"

    @property
    def is_daily(self) -> bool:
        return self.every == "day"

    def period(self, day: date) -> Window:
        """The period that a day is in."""
        match self.every:
            case "day":
                return Window.known(day, day)
            case "week":
                starts = WEEKDAYS.index(self.on) + (self.dated == "last")
                start = moved(day, -((day.weekday() - starts) % WEEK_DAYS))
                return Window.known(start, moved(start, WEEK_DAYS - 1))
        _, length = calendar.monthrange(day.year, day.month)
        return Window.known(day.replace(day=1), day.replace(day=length))

    def date_of(self, day: date) -> date:
        """The date of the period that a day is in."""
        period = self.period(day)
        return period.start if self.dated == "first" else period.end

    def is_date(self, day: date) -> bool:
        """Whether rows of the phase may stand on a day."""
        return self.is_daily or self.date_of(day) == day

    def dates(self, window: Window) -> Iterator[date]:
        """The dates of a window."""
        return (day for day in window.days() if self.is_date(day))

    @property
    def longest(self) -> int:
        """Days of the longest period there is."""
        return {"day": 1, "week": WEEK_DAYS, "month": 31}[self.every]
