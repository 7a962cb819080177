"""The states of runs, steps and dates, and their named sets.

Lua scripts get both from here too: `worker.ledger.header` writes them as Lua tables.
"""

from __future__ import annotations

from enum import StrEnum


class RunState(StrEnum):
    """Where a run is."""

    INCOMPLETE = "incomplete"
    """Registered and not wholly sent; `planner resume RUN` goes on."""
    RUNNING = "running"
    """Steps run, or wait for a worker."""
    PAUSED = "paused"
    """No step starts."""
    CANCELLING = "cancelling"
    """Steps are being stopped; the commands still say `running`."""
    COMPLETE = "complete"
    """Every step succeeded and the final validation passed."""
    FAILED = "failed"
    """It has ended otherwise."""
    CANCELLED = "cancelled"
    """It was cancelled, or its deadline passed, and it has ended."""


class Priority(StrEnum):
    """How many turns a run has, beside others."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class StepState(StrEnum):
    """Where a step is."""

    PENDING = "pending"
    """Not started, or put back."""
    RUNNING = "running"
    """A worker is at it, or a service."""
    SUCCEEDED = "succeeded"
    """The recount showed the rows of every date."""
    FAILED = "failed"
    """At least one date is not there; the others may be."""
    BLOCKED = "blocked"
    """Something it is computed from failed."""
    CANCELLED = "cancelled"
    """Its run was cancelled before it ended."""


class DateState(StrEnum):
    """Where one date of a step is."""

    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"
    BLOCKED = "blocked"
    CANCELLED = "cancelled"


class RestoreState(StrEnum):
    """Where a restore is."""

    RUNNING = "running"
    """Its tables are being put back, one after the other."""
    INTERRUPTED = "interrupted"
    """Its process is gone: the same command goes on."""
    FAILED = "failed"
    """It met an error after it had begun to write: whole tables are as they were."""
    RESTORED = "restored"
    """Every table was put back, and counted."""


RUN_ACTIVE = frozenset({RunState.RUNNING, RunState.PAUSED, RunState.CANCELLING})
"""Sent and not ended: the reconciler looks after these, and only these can be concluded."""
RUN_CANCELLABLE = frozenset({RunState.INCOMPLETE, RunState.RUNNING, RunState.PAUSED})
"""Can be cancelled, by its user or by its deadline."""
RUN_ENDED = frozenset({RunState.COMPLETE, RunState.FAILED, RunState.CANCELLED})
"""Finalized: only a retry opens it again."""
STEP_ACTIVE = frozenset({StepState.PENDING, StepState.RUNNING})
"""Still to settle."""
STEP_ENDED = frozenset(set(StepState) - STEP_ACTIVE)
"""Settled."""
DATE_UNDONE = frozenset({DateState.FAILED, DateState.BLOCKED, DateState.CANCELLED})
"""Settled without its rows: what a retry takes up."""
