"""The retry decision: one function, one value."""

from __future__ import annotations

import random
from dataclasses import dataclass

from planner.pipeline.phase import Phase

RETRY_MAX_SECONDS = 600.0  # no pause grows past ten minutes


@dataclass(frozen=True, kw_only=True)
class Retry:
    """Make another attempt, after a pause."""

    seconds: float


def decide(phase: Phase, *, attempt: int, is_permanent: bool) -> Retry | None:
    """What to do after `attempt` (1 for the first) failed; None: make no other.

    The pause doubles from `phase.retry_seconds`, with jitter of a quarter either way, so that steps
    which failed together are not retried together.
    """
    if is_permanent or attempt > phase.retries:
        return None
    pause = min(phase.retry_seconds * 2 ** (attempt - 1), RETRY_MAX_SECONDS)
    return Retry(seconds=pause * random.uniform(0.75, 1.25))
