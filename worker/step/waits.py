"""How a step waits: what it waits for, its longest pause (backoff), and what wakes it earlier."""

from __future__ import annotations

from planner.plan.states import RunState
from worker.context import Context
from worker.ledger.awaited import Awaited, awaited_resource, awaited_run
from worker.ledger.lease import Lease
from worker.ledger.record import RunRecord
from worker.step.errors import Requeue, Waiting

FIRST_WAIT_SECONDS = 0.25  # then pauses grow up to BACKFILL_POLL_MAX_SECONDS
WAIT_GROWTH = 1.3


def wait(
    context: Context,
    run: RunRecord,
    step_id: str,
    what: str = "",
    kind: type[Requeue] = Waiting,
    awaited: Awaited | None = None,
) -> Requeue:
    """The `Requeue` to raise: the step waits for something, a little longer every time.

    What it awaits wakes it. The pause is a fallback, for a holder that died and so wakes no step.
    """
    waits = context.ledger.note_wait(run.id, step_id, what)
    longest = context.settings.poll_max_seconds
    pause = min(FIRST_WAIT_SECONDS * WAIT_GROWTH ** min(waits, 50), longest)
    why = f"waits for {what}" if what else f"its run is {run.state}"
    return kind(longest if awaited else pause, why, awaited)


def wait_for_run(context: Context, run: RunRecord, step_id: str) -> Requeue | None:
    """The `Requeue` to raise where no step may begin now: the run is paused, or not its hours."""
    if run.state is RunState.PAUSED:
        return wait(context, run, step_id, awaited=awaited_run(run.id, step_id))
    if run.state is not RunState.RUNNING:
        return wait(context, run, step_id)
    seconds = run.hours.closed_seconds(context.ledger.now()) if run.hours else 0.0
    if not run.hours or not seconds:
        return None
    why = f"the run's hours ({run.hours.text})"
    context.ledger.note_wait(run.id, step_id, why)
    return Waiting(seconds, f"waits for {why}")


def wait_for_lease(context: Context, run: RunRecord, step_id: str, lease: Lease) -> Requeue:
    """The `Requeue` to raise: others hold what the step needs."""
    full = lease.full()
    if full is None:
        return wait(context, run, step_id)
    awaited = awaited_resource(run.id, step_id, full.key, full.capacity)
    return wait(context, run, step_id, full.full, awaited=awaited)
