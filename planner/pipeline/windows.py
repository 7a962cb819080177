"""Ranges of days: windows and seasons."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Self

from pydantic import Field, model_validator

from planner.pipeline.model import Model, Name, SeasonName

DAY = timedelta(days=1)


def moved(day: date, days: int) -> date:
    """A day some days later or earlier, or the last or first there is."""
    first, last = date.min.toordinal(), date.max.toordinal()
    return date.fromordinal(min(max(day.toordinal() + days, first), last))


class Window(Model):
    """Days of a calendar, both ends included."""

    start: date
    end: date

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.end < self.start:
            raise ValueError(f"ends on {self.end}, before it starts on {self.start}")
        return self

    def __contains__(self, day: object) -> bool:
        return isinstance(day, date) and self.start <= day <= self.end

    def common(self, other: Window) -> Window | None:
        """The days that are in both; None when there are none."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return Window(start=start, end=end) if start <= end else None

    def days(self) -> Iterator[date]:
        """Every day, in order."""
        for n in range((self.end - self.start).days + 1):
            yield self.start + n * DAY


class Season(Window):
    """One season of the pipeline's calendar."""

    name: SeasonName
    """What people call it, such as `2021-22`."""
    year: int = Field(ge=1900, le=9999)
    """The year it starts in, as a `season_year` column holds it."""
    windows: dict[Name, Window] = Field(default_factory=dict)
    """Named parts of it, such as `play_in` and `playoffs`."""
