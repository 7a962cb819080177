"""Which days count, and why a day may legitimately hold nothing: defined here alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from planner.errors import UsageError
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Season, Window


@dataclass(frozen=True, kw_only=True)
class Calendar:
    """The seasons of a pipeline, seen day by day."""

    pipeline: Pipeline

    def season_of(self, day: date) -> Season | None:
        """The season a day is in."""
        return next((season for season in self.pipeline.seasons if day in season), None)

    def season_named(self, name: str) -> Season:
        """The season called `name`, or starting in the year `name`. Raises `UsageError`."""
        for season in self.pipeline.seasons:
            if name in (season.name, str(season.year)):
                return season
        known = ", ".join(season.name for season in self.pipeline.seasons)
        raise UsageError(f"There is no season {name!r} in pipeline {self.pipeline.name}: {known}.")

    def is_bootstrap(self, day: date, first_days: int | None = None) -> bool:
        """Whether a day is among the first `first_days` of its season, or the file's usual ones."""
        days = self.pipeline.bootstrap_days if first_days is None else first_days
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
            chosen = self.season_named(season)
            start, end = chosen.start, min(chosen.end, today)
        if end is not None and end > today:
            raise UsageError(
                f"--end {end} is in the future: give {today}, which is today, or earlier."
            )
        start = start or self.pipeline.seasons[0].start
        end = end or min(self.pipeline.seasons[-1].end, today)
        if end < start:
            raise UsageError(
                f"The dates are reversed, or lie ahead: {start} to {end}. Give the first one "
                "first, and none after today."
            )
        return Window(start=start, end=end)
