"""Notifies once of a run that is stalled, or takes far longer than planned (drift)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from planner.plan.states import RunState, StepState
from planner.report.message import run_drifts, run_stalled
from planner.text import counted
from worker.context import Context
from worker.ledger.keys import run_key
from worker.ledger.record import RunRecord, StepRecord
from worker.notify import notify
from worker.status.forecast import forecast
from worker.status.no_progress import held_up_by

LOOKS = 4  # at all steps of a run, per BACKFILL_STALLED_SECONDS: reading them is not for nothing


def tell_if_slow(context: Context, run: RunRecord) -> bool:
    """Notify that a run is stalled, or drifts; whether that was done now."""
    seconds = context.settings.stalled_seconds
    if not context.settings.notify or run.state is not RunState.RUNNING:
        return False
    if not context.redis.set(
        run_key(run.id, "looked"), "1", nx=True, px=int(seconds * 1e3 / LOOKS)
    ):
        return False
    steps = context.ledger.step_records(run.id)
    return _tell_if_stalled(context, run, steps) or _tell_if_drifting(context, run, steps)


def _tell_if_stalled(context: Context, run: RunRecord, steps: Sequence[StepRecord]) -> bool:
    at, seconds = context.ledger.now(), context.settings.stalled_seconds
    began = max(run.started or run.created, run.resumed or 0.0)
    last = max([began, *(step.moved for step in steps)])
    is_night = run.hours is not None and run.hours.closed_seconds(at) > 0
    if at - last < seconds or is_night:
        return False
    told = run_stalled(run.id, run.pipeline, seconds=at - last, waits=_waits(context, run, steps))
    return notify(context, told, once=f"{last:.0f}")


def _tell_if_drifting(context: Context, run: RunRecord, steps: Sequence[StepRecord]) -> bool:
    ahead = forecast(context, run, steps)
    if not ahead.drifts or ahead.planned is None or ahead.left is None:
        return False
    expected = ahead.spent + ahead.left
    told = run_drifts(run.id, run.pipeline, planned=ahead.planned, expected=expected)
    return notify(context, told, once=f"{run.endings}")  # and once more for every retry


def _waits(context: Context, run: RunRecord, steps: Sequence[StepRecord]) -> str:
    """What keeps it: no worker, what runs, or what is waited for."""
    if why := held_up_by(context, run, steps):
        return why[0]
    running = sum(step.state is StepState.RUNNING for step in steps)
    if running:
        return f"{counted(running, 'step')} at work"
    waits = Counter(step.waiting for step in steps if step.waiting)
    return f"most steps wait for {waits.most_common(1)[0][0]}" if waits else "nothing is at work"
