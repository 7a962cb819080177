"""Notices a run in which nothing has moved for long, and tells people once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from planner.plan.states import RunState, StepState
from planner.report.message import run_stalled
from planner.text import counted
from worker.ledger.keys import run_key
from worker.ledger.record import RunRecord, StepRecord
from worker.run.notify import notify
from worker.run.serving import held_up_by
from worker.step.context import Context

LOOKS = 4  # at all steps of a run, per BACKFILL_STALLED_SECONDS: reading them is not for nothing


def tell_if_stalled(context: Context, run: RunRecord) -> bool:
    """Tell people that a run stands still; whether that was done now."""
    seconds = context.settings.stalled_seconds
    if not context.settings.notify or run.state is not RunState.RUNNING:
        return False
    at = context.ledger.now()
    began = max(run.started or run.created, run.resumed or 0.0)
    if at - began < seconds:
        return False
    if not context.redis.set(
        run_key(run.id, "looked"), "1", nx=True, px=int(seconds * 1e3 / LOOKS)
    ):
        return False
    steps = context.ledger.step_records(run.id)
    last = max([began, *(step.moved for step in steps)])
    if at - last < seconds:
        return False
    told = run_stalled(run.id, run.pipeline, seconds=at - last, waits=_waits(context, run, steps))
    return notify(context, told, once=f"{last:.0f}")


def _waits(context: Context, run: RunRecord, steps: Sequence[StepRecord]) -> str:
    """What keeps it: no worker, what runs, or what is waited for."""
    if why := held_up_by(context, run, steps):
        return why[0]
    running = sum(step.state is StepState.RUNNING for step in steps)
    if running:
        return f"{counted(running, 'step')} at work"
    waits = Counter(step.waiting for step in steps if step.waiting)
    return f"most steps wait for {waits.most_common(1)[0][0]}" if waits else "nothing is at work"
