"""Which days count, and why a day may legitimately hold nothing: defined here alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from planner.errors import UsageError
from planner.pipeline.windows import Season, Window
from planner.text import WORD_CHARS, date_runs, nearest

DAYS_SHOWN = 6

if TYPE_CHECKING:
    from planner.pipeline.pipeline import Pipeline


@dataclass(frozen=True, kw_only=True)
class Calendar:
    """The days that a pipeline covers."""

    pipeline: Pipeline

    @property
    def first(self) -> date:
        """The first day."""
        return self.pipeline.start or self.pipeline.seasons[0].start

    @property
    def last(self) -> date | None:
        """The last day; None where the end is open."""
        if self.pipeline.end is not None or self.pipeline.start is not None:
            return self.pipeline.end
        return self.pipeline.seasons[-1].end

    def covers(self, day: date) -> bool:
        """Whether a day is one that the pipeline is about: where the file has only seasons, one
        of those, and not one between two."""
        if self.pipeline.start is None:
            return self.season_of(day) is not None
        return self.first <= day <= (self.last or day)

    def seasons(self, window: Window) -> tuple[Season, ...]:
        """The seasons that a window touches; where the file names none, the years of the calendar.

        A year is as long as the calendar covers it.
        """
        if self.pipeline.seasons:
            return tuple(each for each in self.pipeline.seasons if each.common(window))
        start, end = max(self.first, window.start), min(self.last or window.end, window.end)
        return tuple(self._year(year) for year in range(start.year, end.year + 1) if start <= end)

    def _year(self, year: int) -> Season:
        first, last = date(year, 1, 1), date(year, 12, 31)
        start, end = max(first, self.first), min(last, self.last or last)
        return Season(name=str(year), year=year, start=start, end=end)

    def season_of(self, day: date) -> Season | None:
        """The season a day is in."""
        if self.pipeline.seasons:
            return next((each for each in self.pipeline.seasons if day in each), None)
        return next(iter(self.seasons(Window.known(day, day))), None)

    def season_named(self, name: str, *, today: date | None = None) -> Season:
        """The season called `name`, or starting in the year `name`. Raises `UsageError`."""
        seasons = self.pipeline.seasons or self.seasons(
            Window(start=self.first, end=max(self.first, today or self.last or self.first))
        )
        for season in seasons:
            if name in (season.name, str(season.year)):
                return season
        known = [season.name for season in seasons]
        near = nearest(name, known)
        hint = f"; {near} They are" if near.startswith("did you mean") else ""
        raise UsageError(
            f"There is no season {name[:WORD_CHARS]!r} in pipeline {self.pipeline.name}{hint}: "
            f"{', '.join(known)}."
        )

    def part_named(self, name: str, *, today: date | None = None) -> Window:
        """A season, or a window of one, such as `2021-22 playoffs`. Raises `UsageError`."""
        season_name, _, part = name.strip().partition(" ")
        season, part = self.season_named(season_name, today=today), part.strip()
        if not part:
            return season
        if part not in season.windows:
            hint = (
                nearest(part, season.windows, what="windows") if season.windows else "it has none"
            )
            raise UsageError(f"Season {season.name} has no window {part[:WORD_CHARS]!r}; {hint}.")
        return season.windows[part]

    def require_any(self, window: Window) -> None:
        """Raises `UsageError` where the calendar covers none of some days that a user named."""
        if any(map(self.covers, window.days())):
            return
        known = ", ".join(
            f"{each.name} ({each.start} to {each.end})" for each in self.pipeline.seasons
        )
        span = f"from {self.first}" + (f" to {self.last}" if self.last else " on")
        raise UsageError(
            f"The calendar of {self.pipeline.name} covers none of these days, "
            f"{date_runs(window.days(), shown=DAYS_SHOWN)}: name days of "
            f"{known or f'its own, {span}'}."
        )

    def is_bootstrap(self, day: date, first_days: int | None = None) -> bool:
        """Whether a day is among the first `first_days` of its season, or the file's usual ones.

        Without seasons, those are the first days of the calendar.
        """
        days = self.pipeline.bootstrap_days if first_days is None else first_days
        if not self.pipeline.seasons:
            return 0 <= (day - self.first).days < days
        season = self.season_of(day)
        return season is not None and (day - season.start).days < days

    def scope(
        self,
        *,
        today: date,
        start: date | None = None,
        end: date | None = None,
        season: str | None = None,
    ) -> Window:
        """The days a command is about: what was asked for, else every season until today.

        Raises `UsageError` for days that are reversed, or not there yet.
        """
        if season is not None and (start or end):
            raise UsageError("Give --season, or --start and --end, not both.")
        if season is not None:
            chosen = self.part_named(season, today=today)
            start, end = chosen.start, min(chosen.end, today)
        if end is not None and end > today:
            raise UsageError(
                f"--end {end} is in the future: give {today}, which is today, or earlier."
            )
        if start is not None and end is None and self.last is not None and start > self.last:
            raise UsageError(
                f"--start {start} is after the calendar's end, {self.last}: give --end too, or "
                "move the end in the pipeline file."
            )
        start = start or self.first
        end = end or min(self.last or today, today)
        if end < start:
            raise UsageError(
                f"The dates are reversed, or lie ahead: {start} to {end}. Give the first one "
                "first, and none after today."
            )
        return Window(start=start, end=end)
