"""Ranges of days: windows and seasons."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from typing import Self

from pydantic import Field, model_validator

from planner.pipeline.model import Model, Name, SeasonName
from planner.text import date_ranges

DAY = timedelta(days=1)


def moved(day: date, days: int) -> date:
    """A day some days later or earlier, or the last or first there is."""
    first, last = date.min.toordinal(), date.max.toordinal()
    return date.fromordinal(min(max(day.toordinal() + days, first), last))


class Window(Model):
    """Days of a calendar, both ends included."""

    start: date
    """First day."""
    end: date
    """Last day."""

    @model_validator(mode="after")
    def _forward(self) -> Self:
        if self.end < self.start:
            raise ValueError(f"ends on {self.end}, before it starts on {self.start}")
        return self

    @classmethod
    def known(cls, start: date, end: date) -> Self:
        """The window between two days that no person wrote: a planner makes thousands of them."""
        return cls.unchecked(start=start, end=end)

    def __contains__(self, day: object) -> bool:
        return isinstance(day, date) and self.start <= day <= self.end

    def common(self, other: Window) -> Window | None:
        """The days that are in both; None when there are none."""
        start, end = max(self.start, other.start), min(self.end, other.end)
        return Window.known(start, end) if start <= end else None

    def days(self) -> Iterator[date]:
        """Every day, in order."""
        for n in range((self.end - self.start).days + 1):
            yield self.start + n * DAY

    @property
    def whole(self) -> Window:
        """Every day from the first to the last."""
        return Window.known(self.start, self.end)

    @property
    def title(self) -> str:
        """Which days they are, for people."""
        return f"{self.start} to {self.end}"


class Picked(Window):
    """Some of the days from the first to the last of them."""

    picked: frozenset[date]

    @classmethod
    def of(cls, days: Iterable[date]) -> Self:
        """These days, at least one."""
        picked = frozenset(days)
        return cls(start=min(picked), end=max(picked), picked=picked)

    def __contains__(self, day: object) -> bool:
        return day in self.picked

    def common(self, other: Window) -> Window | None:
        both = [day for day in self.picked if day in other]
        return self.of(both) if both else None

    def days(self) -> Iterator[date]:
        yield from sorted(self.picked)

    @property
    def title(self) -> str:
        return date_ranges(self.picked)


class Season(Window):
    """One season of the pipeline's calendar."""

    name: SeasonName
    """What `--season` takes, such as `2021-22`."""
    year: int = Field(ge=1900, le=9999)
    """The year it starts in. `--season` takes it as well."""
    windows: dict[Name, Window] = Field(default_factory=dict)
    """Named parts, each with `start` and `end`; the completeness matrix gives each a row."""
