"""The ranges of a step: consecutive dates that its runner is given together. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import date

from planner.pipeline.phase import Phase
from worker.step.checkpoint import Range


@dataclass(frozen=True, kw_only=True)
class Ranges:
    """How the dates of a step are run together."""

    phase: Phase
    dates: Sequence[date]
    """All dates of the step, also those that are done or blocked."""

    def first(self, dates: Sequence[date], *, which: int, attempt: int) -> list[Range]:
        """Consecutive dates together at the first attempt, each alone at every later one, and where
        runner `which` takes one date."""
        runner = self.phase.runner(which)
        if attempt > 1 or (runner is not None and runner.takes_one_date):
            return [(day,) for day in dates]
        return self._consecutive(dates)

    def halves(self, dates: Range, short: Collection[date]) -> list[Range]:
        """The halves of a range that was too large, without the dates that are complete."""
        middle = len(dates) // 2
        halves = dates[:middle], dates[middle:]
        return [
            part
            for half in halves
            for part in self._consecutive([day for day in half if day in short])
        ]

    def _consecutive(self, dates: Sequence[date]) -> list[Range]:
        order = {day: n for n, day in enumerate(self.dates)}
        ranges: list[Range] = []
        for day in dates:
            follows = ranges and order[day] == order[ranges[-1][-1]] + 1
            if follows and len(ranges[-1]) < (self.phase.dates_at_once or len(order)):
                ranges[-1] = (*ranges[-1], day)
            else:
                ranges.append((day,))
        return ranges
