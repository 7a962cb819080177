"""The states of runs, steps and dates, and which of them are final."""

from __future__ import annotations

from enum import StrEnum


class RunState(StrEnum):
    """Where a run is."""

    INCOMPLETE = "incomplete"
    """Written down, and not wholly published: the planner died meanwhile."""
    RUNNING = "running"
    PAUSED = "paused"
    CANCELLING = "cancelling"
    COMPLETE = "complete"
    """Every step succeeded, and the final validation passed."""
    FAILED = "failed"
    CANCELLED = "cancelled"


class StepState(StrEnum):
    """Where a step is."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    """The recount showed the rows of every date."""
    FAILED = "failed"
    """At least one date is not there; the others may be."""
    BLOCKED = "blocked"
    """Something it is computed from failed."""
    CANCELLED = "cancelled"


class DateState(StrEnum):
    """Where one date of a step is."""

    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"
    BLOCKED = "blocked"
    CANCELLED = "cancelled"


RUN_ENDED = frozenset({RunState.COMPLETE, RunState.FAILED, RunState.CANCELLED})
STEP_ENDED = frozenset(set(StepState) - {StepState.PENDING, StepState.RUNNING})
