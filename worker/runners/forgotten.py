"""A batch that its service forgot: gone is not ended, for its workers may write on.

No second batch is started before the service has been silent, and the tables have stood still, for
`stall_seconds`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from sql.errors import WarehouseError, WarehouseRefused
from worker.runners.job import Failed, Job, Outcome, Ran

SILENCE = "silence"  # key of a runner's checkpoint: since when, and how the tables stood then
FORGOT = "forgot"  # key of a runner's checkpoint: batches that another was started after
UNKNOWN = ""  # how the tables stand while the warehouse does not answer
LOOKS = 30  # at the tables, in one silence: each is a statement per table


@dataclass(frozen=True, kw_only=True)
class Silence:
    """How long a service has not known a batch, with tables that stood still."""

    since: float
    standing: str
    has_moved: bool
    """Whether it began anew with this look."""
    is_first: bool

    @property
    def checkpoint(self) -> dict[str, Any]:
        """Compared with at the next look."""
        return {SILENCE: {"since": self.since, "standing": self.standing}}


def silence(job: Job) -> Silence | None:
    """Look at the tables; None when they are complete. Raises `sql.WarehouseRefused`."""
    before: dict[str, Any] | None = job.checkpoint.get(SILENCE)
    was = before["standing"] if before else UNKNOWN
    try:
        standing = job.standing()
        has_moved = standing != was or standing == UNKNOWN
        if has_moved and is_complete(job):
            return None
    except WarehouseRefused:
        raise
    except WarehouseError:  # it may answer the next look: a second batch is the worse error
        standing, has_moved = UNKNOWN, True
    return Silence(
        since=job.now() if has_moved or before is None else float(before["since"]),
        standing=standing,
        has_moved=has_moved,
        is_first=before is None,
    )


def is_complete(job: Job) -> bool:
    """Whether every table of the phase is complete on all of the dates, by a fresh count."""
    return job.filled().issuperset(table.name for table in job.phase.tables)


def remarked(job: Job, outcome: Outcome) -> Outcome:
    """The outcome, with a remark where two batches may have written the same dates."""
    forgot = job.checkpoint.get(FORGOT)
    if not forgot or not isinstance(outcome, Ran | Failed):
        return outcome
    is_started = not job.checkpoint.keys().isdisjoint(("batch_id", "starting"))
    if not is_started and isinstance(outcome, Ran):
        return outcome  # the rows came without a second start
    remark = f"the service forgot batch {forgot}: two batches may have written these dates"
    return replace(outcome, remark=remark)
