"""The contract of a runner: the job that it is given, and the outcomes that it may answer with."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Protocol

from planner.pipeline.phase import Phase
from sql import WarehouseError
from sql.warehouse import Warehouse

LEASE_LOST = "the lease was lost"
"""A reason of `Job.stop`: another worker may take the dates over, so stop without grace."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One attempt at some consecutive dates of a phase."""

    run_id: str
    step_id: str
    phase: Phase
    dates: tuple[date, ...]
    attempt: int
    checkpoint: dict[str, Any]
    """What the runner wrote down before it parked this step; empty at first."""
    log: Path
    """Where output goes; appended to."""
    pipeline_dir: Path
    """The folder of the pipeline file."""
    warehouse: Warehouse
    grace_seconds: float
    stop: Callable[[], str | None]
    """Why to stop now; None to go on. Asked several times a second while something runs."""
    now: Callable[[], float] = time.time
    """Seconds since the epoch, by a clock that all workers share: another may resume the step."""
    note: Callable[[dict[str, Any]], bool] = lambda checkpoint: True
    """Saves `checkpoint` at once, for the takeover should this worker die; False when the lease was
    lost, so that nothing may be begun."""
    filled: Callable[[], frozenset[str]] = frozenset
    """The phase's tables that are complete on all of the dates, by a fresh count."""
    standing: Callable[[], str] = str
    """How the phase's tables stand on all of the dates, by a fresh count: another text once a row
    was written. Empty when it cannot be told."""
    force: bool = False
    """Whether the user lets a service end batches that are not this run's."""
    values: Mapping[str, str] = field(default_factory=dict)
    """What the run sets; runners use those that they declare."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """For jobs that it begins in BigQuery: by them the run and later plans know what they were
    billed. `sql.labels.job_labels` gives them as BigQuery takes them."""

    @property
    def start(self) -> date:
        """The first date."""
        return self.dates[0]

    @property
    def end(self) -> date:
        """The last date."""
        return self.dates[-1]


@dataclass(frozen=True, kw_only=True)
class Ran:
    """It ended without an error. Whether its rows are there, the recount decides."""

    settle_seconds: float = 0.0
    """How long rows may take to appear."""
    note: str = ""
    """An observation about the run; reported when rows are missing."""
    unchanged: bool = False
    """Whether it said that nothing had to change."""
    remark: str = ""
    """What the report says of the dates that are done."""


@dataclass(frozen=True, kw_only=True)
class Failed:
    """It failed. The recount still decides which rows are there."""

    error: str
    is_permanent: bool = False
    """Whether a retry cannot help."""
    remark: str = ""
    """What the report says of the dates that are done, now or after a retry."""


@dataclass(frozen=True, kw_only=True)
class TooLarge:
    """The range was too large: its halves may succeed."""

    error: str


@dataclass(frozen=True, kw_only=True)
class Partway:
    """It failed partway: the next run resumes there."""

    error: str


@dataclass(frozen=True, kw_only=True)
class Refused:
    """It reports that something upstream is missing."""

    error: str


@dataclass(frozen=True, kw_only=True)
class Park:
    """A service works on, for this step or for another caller: look again later.

    A parked step costs no attempt, occupies no worker, and keeps its lease.
    """

    seconds: float
    checkpoint: dict[str, Any]
    why: str = "a service works on it"
    is_refused: bool = False
    """Whether the warehouse refuses for now."""


@dataclass(frozen=True, kw_only=True)
class TryLater:
    """The warehouse refuses for now, or does not tell what became of a statement.

    The step is parked as long as that is worth it, without spending an attempt.
    """

    error: WarehouseError
    what: str
    """What was refused."""
    checkpoint: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """It was stopped because `Job.stop` gave a reason."""

    why: str
    checkpoint: dict[str, Any] = field(default_factory=dict)
    """Of the attempt, for the worker that resumes it."""


@dataclass(frozen=True, kw_only=True)
class Readiness:
    """Whether a runner could run here and now, for `planner doctor`."""

    ok: bool
    detail: str
    advice: str = ""


THERE = Readiness(ok=True, detail="is there")

Outcome = Ran | Failed | TooLarge | Partway | Refused | Park | TryLater | Stopped


class Runner(Protocol):
    """Makes rows: one class per kind of runner."""

    def run(self, job: Job) -> Outcome:
        """Work on `job`'s dates until they are done, or `job.stop` gives a reason to stop."""
        ...

    def absence(self, beside: Path) -> str | None:
        """What was not found, and where; None when it exists.

        `beside` is the pipeline file's folder. Raises `Unset` when only workers can tell.
        """
        ...

    def readiness(self) -> Readiness:
        """Whether it could run here and now. Raises `Unset`."""
        ...
