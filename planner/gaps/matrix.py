"""The completeness matrix: season × phase, and the cells it is counted from."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from planner.gaps.gaps import Health
from planner.pipeline.pipeline import Pipeline, Window


class Count(BaseModel):
    """How one phase stands in one part of the calendar."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    expected: int = 0
    """Dates that should hold rows."""
    complete: int = 0
    """Dates that do, in full, and are not stale."""
    entities: int | None = None
    """How many of the pipeline's entity (games, say) it holds; None when it does not count it."""

    @property
    def is_complete(self) -> bool:
        return self.complete == self.expected


Matrix = dict[str, dict[str, Count]]
"""Season, or `season/window` (`2021-22/playoffs`), → phase → count."""


def matrix(pipeline: Pipeline, health: Health) -> Matrix:
    """Count every phase in every season, and in every named window of a season."""
    counted: Matrix = {}
    for season in pipeline.seasons:
        parts: dict[str, Window] = {season.name: season}
        parts |= {f"{season.name}/{name}": window for name, window in season.windows.items()}
        for name, window in parts.items():
            if window.start > health.window.end or window.end < health.window.start:
                continue
            counted[name] = {
                phase.name: _count(health, phase.name, window) for phase in pipeline.phases
            }
    return counted


def _count(health: Health, phase: str, window: Window) -> Count:
    stale = health.stale.get(phase, ())
    due = sum(day in window for days in (health.complete, health.gaps) for day in days[phase])
    complete = sum(day in window for day in health.complete[phase] if day not in stale)
    held = health.held.get(phase)
    return Count(
        expected=due,
        complete=complete,
        entities=None if held is None else sum(n for day, n in held.items() if day in window),
    )
