"""What a step does while the warehouse refuses for now: it is parked, and spends no attempt."""

from __future__ import annotations

from sql import WarehouseError, WarehouseRefused
from sql.errors import LostWrite
from worker.processes.secrets import redacted
from worker.runners import Failed, Park, TryLater
from worker.step.checkpoint import Checkpoint


def may_pass(checkpoint: Checkpoint, what: str, error: WarehouseError, *, now: float) -> bool:
    """Whether the refusal may still pass; the checkpoint notes when the warehouse is retried."""
    if checkpoint.held_since is None:
        checkpoint.held_since = now
    left = checkpoint.held_since + error.patience_seconds - now
    if left <= 0:
        return False
    checkpoint.held_until = now + min(error.pause_seconds, left)
    checkpoint.held_why = redacted(f"{what}: {error}")
    return True


def parked(checkpoint: Checkpoint, *, now: float, seconds_max: float) -> Park:
    """Until it is asked again, or for so long: a parked step has to see that its run ends."""
    return Park(
        seconds=max(0.0, min(checkpoint.held_until - now, seconds_max)),
        checkpoint=checkpoint.as_json(),
        why=checkpoint.held_why,
        is_refused=True,
    )


def given_up(held: TryLater) -> Failed:
    """A refusal that outlasted its patience. What a lost write did is for a person to look up."""
    told = f"{held.what}: {held.error}"
    if isinstance(held.error, LostWrite):
        return Failed(
            error=f"{told} Look for it in BigQuery's job history, then `planner retry`.",
            is_permanent=True,
        )
    return Failed(error=told, is_permanent=isinstance(held.error, WarehouseRefused))
