"""What a runner is given, and what it may answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Protocol

from planner.pipeline.phase import Phase
from sql.warehouse import Warehouse

LEASE_LOST = "the lease was lost"
"""Why `Job.stop` says to stop when somebody else may be at the dates: at once, without grace."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One attempt at some consecutive dates of a phase."""

    run_id: str
    step_id: str
    phase: Phase
    dates: tuple[date, ...]
    attempt: int
    checkpoint: dict[str, Any]
    """What the runner wrote down when it parked this step; empty at first."""
    log: Path
    """Where output goes; appended to."""
    pipeline_dir: Path
    """The folder of the pipeline file."""
    warehouse: Warehouse
    grace_seconds: float
    stop: Callable[[], str | None]
    """Why to stop now, if so: asked several times a second while something runs."""
    now: Callable[[], float] = time.time
    """Seconds since the epoch; workers share a clock, since another may come by next time."""
    note: Callable[[dict[str, Any]], bool] = lambda checkpoint: True
    """Writes `memory` down at once, for whoever goes on should this worker die; False when the
    lease was lost, so that nothing may be begun."""
    filled: Callable[[], frozenset[str]] = frozenset
    """The phase's tables that need no more work on any of the dates, by a fresh count."""
    force: bool = False
    """Whether the user lets a service end what it is doing for others."""

    @property
    def start(self) -> date:
        return self.dates[0]

    @property
    def end(self) -> date:
        return self.dates[-1]


@dataclass(frozen=True, kw_only=True)
class Ran:
    """It ended without complaint. Whether that means anything, the recount will tell."""

    settle_seconds: float = 0.0
    """How long rows may take to appear."""
    note: str = ""
    """What was odd about it; told when rows are missing."""
    unchanged: bool = False
    """Whether it said that nothing had to change."""


@dataclass(frozen=True, kw_only=True)
class Failed:
    """It ended badly. The recount still decides what is there."""

    error: str
    is_permanent: bool = False
    """Whether trying again cannot help."""


@dataclass(frozen=True, kw_only=True)
class TooLarge:
    """The range was too much at once: halves of it may do."""

    error: str


@dataclass(frozen=True, kw_only=True)
class Partway:
    """It ended badly, and goes on from where it got when it is run again."""

    error: str


@dataclass(frozen=True, kw_only=True)
class Refused:
    """It says that something it needs is not there."""

    error: str


@dataclass(frozen=True, kw_only=True)
class Park:
    """It goes on without us, or waits for somebody else's batch: come back later.

    Costs no attempt, holds no worker, keeps the lease.
    """

    seconds: float
    checkpoint: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """It was stopped because `Job.stop` said so."""

    why: str
    checkpoint: dict[str, Any] = field(default_factory=dict)
    """Of the attempt, for whoever goes on with it."""


Outcome = Ran | Failed | TooLarge | Partway | Refused | Park | Stopped


class Runner(Protocol):
    """Makes rows."""

    def run(self, job: Job) -> Outcome:
        """Work on `job`'s dates until they are done, or until `job.stop` says why not."""
        ...
