"""The retry decision: one function, one value."""

from __future__ import annotations

import random
from dataclasses import dataclass

from planner.pipeline.phase import Phase

RETRY_MAX_SECONDS = 600.0  # no pause grows past ten minutes


@dataclass(frozen=True, kw_only=True)
class Retry:
    """Try again, after a pause."""

    seconds: float


@dataclass(frozen=True, kw_only=True)
class GiveUp:
    """Do not try again."""

    why: str


def decide(phase: Phase, *, attempt: int, is_permanent: bool) -> Retry | GiveUp:
    """What to do after `attempt` (1 for the first) went wrong.

    The pause doubles from `phase.retry_seconds`, with half as much jitter, so that steps which
    failed together do not come back together.
    """
    if is_permanent:
        return GiveUp(why="trying again cannot help")
    if attempt > phase.retries:
        return GiveUp(why=f"{attempt} attempts")
    pause = min(phase.retry_seconds * 2 ** (attempt - 1), RETRY_MAX_SECONDS)
    return Retry(seconds=pause * random.uniform(0.75, 1.25))
