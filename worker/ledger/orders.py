"""The options of one run, beside its plan: limits, keeping, priority, hours."""

from __future__ import annotations

from dataclasses import dataclass

from planner.plan.command import Command
from planner.plan.hours import Hours
from planner.plan.states import Priority


@dataclass(frozen=True, kw_only=True)
class Orders:
    """What a run may do; a retry has orders of its own."""

    force_service: bool = False
    """Services may end batches that are not this run's."""
    deadline_seconds: int | None = None
    """From its registration to its cancellation, if it still goes on. None: never."""
    asked: Command | None = None
    """The command that sends it."""
    keep: bool = False
    """What tables hold is kept before the run writes it for the first time. A retry keeps as its
    run does."""
    keep_dataset: str = ""
    """Where copies are kept, of a warehouse that has to make copies."""
    keep_days: int = 1
    """For how long."""
    max_dollars: float | None = None
    """The run is paused when it was billed more. None: never. A retry goes on with what its run
    has left."""

    priority: Priority = Priority.NORMAL
    """How many turns it has, beside other runs."""
    lane: int = 0
    """Where its messages go."""
    max_slots: int | None = None
    """So many of its steps run at once, at most."""
    hours: Hours | None = None
    """When its steps may begin; None: at any time."""


@dataclass(frozen=True, kw_only=True)
class OrderChanges:
    """What changes of a run that is under way; None: unchanged."""

    priority: Priority | None = None
    max_slots: int | None = None
    hours: Hours | None = None

    def __bool__(self) -> bool:
        return self != UNCHANGED


UNCHANGED = OrderChanges()
PLAIN = Orders()
