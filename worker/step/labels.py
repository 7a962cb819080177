"""The labels for the jobs of a step's script: whose they are, and for how many dates."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.step.attempt import Attempt


def labels_of(attempt: Attempt, runner: int) -> dict[str, str]:
    """Of an attempt by its phase's runner, numbered from 0: what `sql.labels` sums by.

    `dates` is of the whole attempt, which may run its script for some of them at a time.
    """
    return {
        "pipeline": attempt.context.pipeline.name,
        "plan_id": attempt.plan_id,
        "run": attempt.run_id,
        "phase": attempt.phase.name,
        "step": attempt.step_id,
        "runner": str(runner + 1),
        "dates": str(len(attempt.dates)),
    }
