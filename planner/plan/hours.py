"""The hours in which steps of a run may begin, by the clocks of a time zone. Pure."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

from planner.data import Data
from planner.pipeline.timezone import TimeZone


class Hours(Data):
    """From a time of day until another one, which may be of the next day; every day."""

    begin: time
    end: time
    timezone: TimeZone = "UTC"

    @property
    def text(self) -> str:
        """In words."""
        return f"{self.begin:%H:%M} to {self.end:%H:%M} {self.timezone}"

    def closed_seconds(self, now: float) -> float:
        """Seconds from a moment until a step may begin; 0 when it may now."""
        here = datetime.fromtimestamp(now, ZoneInfo(self.timezone))
        at = here.time()
        if self.begin <= self.end:
            is_open = self.begin <= at < self.end
        else:
            is_open = at >= self.begin or at < self.end
        if is_open:
            return 0.0
        opens = datetime.combine(here.date(), self.begin, here.tzinfo)
        if opens <= here:
            opens = datetime.combine(here.date() + timedelta(days=1), self.begin, here.tzinfo)
        return opens.timestamp() - now


def parse_time(text: str) -> time:
    """A time of day, such as `22:00`. Raises `ValueError`."""
    try:
        hour, minute = map(int, text.split(":"))
        return time(hour, minute)
    except ValueError:
        raise ValueError(f"{text!r} is no time of day: write it as 22:00") from None
