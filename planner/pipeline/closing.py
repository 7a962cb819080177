"""When a day is over, and when its rows are all there: a day that is not closed is open. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from planner.pipeline.lookback import closing_day
from planner.pipeline.windows import moved

if TYPE_CHECKING:
    from planner.pipeline.phase import Phase
    from planner.pipeline.pipeline import Pipeline


@dataclass(frozen=True, kw_only=True)
class Closing:
    """The days of a pipeline at one moment."""

    pipeline: Pipeline
    now: datetime
    """UTC."""
    include_open: bool = False
    """Whether days that are open are judged as if they were closed."""
    included: Collection[date] = ()
    """Days that are judged as if they were closed: those that a plan has taken."""

    @cached_property
    def today(self) -> date:
        """The day it is in the pipeline's time zone."""
        return self.now.astimezone(ZoneInfo(self.pipeline.timezone)).date()

    def ended(self, phase: Phase, day: date) -> datetime:
        """The midnight that ends a day of a phase, UTC."""
        zone = ZoneInfo(phase.timezone or self.pipeline.timezone)
        return datetime.combine(moved(day, 1), time(), zone).astimezone(UTC)

    def closes(self, phase: Phase, day: date) -> datetime:
        """When a day of a phase closes, UTC: never before the days that it reads have closed, in
        every phase that it is computed from."""
        above = self.pipeline.ancestors[phase.name]
        last = closing_day(day, phase, self.pipeline)
        return max(
            self.ended(each, last) + self._after(each)
            for each in (phase, *map(self.pipeline.by_name.__getitem__, above))
        )

    def is_open(self, phase: Phase, day: date) -> bool:
        """Whether rows of a day may still come, so that it is skipped."""
        return not self.includes(phase, day) and self.now < self.closes(phase, day)

    def includes(self, phase: Phase, day: date) -> bool:
        """Whether a day of a phase is judged although it may be open; one that has not begun, or
        that reads one which has not, never is."""
        is_asked = self.include_open or day in self.included
        return is_asked and closing_day(day, phase, self.pipeline) <= self.today

    def is_waited_for(self, phase: Phase, day: date, late_after: timedelta | None) -> bool:
        """Whether what a source lacks on a day is not late yet."""
        return late_after is not None and self.now < self.ended(phase, day) + late_after

    def _after(self, phase: Phase) -> timedelta:
        own = phase.closes_after
        return (self.pipeline.closes_after if own is None else own) or timedelta()
