"""The forecast of a run under way: its plan's estimate, corrected by its own steps so far."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.plan.estimate import Estimate, Samples, pace_of
from planner.plan.plan import Plan, chunk_of
from planner.plan.simulate import Work, elapsed
from planner.plan.states import STEP_ENDED, RunState, StepState

if TYPE_CHECKING:
    from worker.context import Context
    from worker.ledger.record import RunRecord, StepRecord

OWN_STEPS_MIN = 3  # of a phase, before the run's own pace replaces its plan's
DRIFT = 2.0  # times the estimate, before `planner watch` warns


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """A run that is under way, beside its estimate."""

    planned: float | None
    """Seconds that its plan foresaw; None when it could not."""
    spent: float
    """Seconds since it started, or was last retried, without pauses."""
    left: float | None
    """Seconds that it may still take; None while nothing is known."""
    is_limited: bool = False
    """Whether it has hours or a limit of slots, of which its plan knows nothing."""

    @property
    def drifts(self) -> bool:
        """Whether it will take more than twice what its plan foresaw."""
        if not self.planned or self.left is None or self.is_limited:
            return False
        return self.spent + self.left > DRIFT * self.planned


def forecast(context: Context, run: RunRecord, steps: Sequence[StepRecord]) -> Forecast:
    """Correct a run's estimate by the steps that have ended."""
    plan = context.plan(run.id)
    foreseen = plan.estimate if plan else None
    return Forecast(
        planned=foreseen.seconds if foreseen else None,
        spent=_spent(run),
        left=0.0 if run.is_ended else _left(context, run, steps, foreseen),
        is_limited=run.max_slots is not None or run.hours is not None,
    )


def _spent(run: RunRecord) -> float:
    since = run.resumed or run.started
    if since is None:
        return 0.0
    until = time.time() if run.ended is None else run.ended
    if run.state is RunState.PAUSED and run.paused is not None:
        until = run.paused
    return max(0.0, until - since - run.paused_seconds)


def _left(
    context: Context, run: RunRecord, steps: Sequence[StepRecord], foreseen: Estimate | None
) -> float | None:
    plan = context.plan(run.id)
    if plan is None or run.pipeline_checksum != context.pipeline.checksum:
        return None  # planned with another pipeline file than this machine's
    works = _works(plan, steps, foreseen)
    if works is None:
        return None
    at_once = sum(step.state is StepState.RUNNING and not step.parked for step in steps)
    slots = max(1, at_once, foreseen.slots if foreseen else 1)
    if run.max_slots is not None:
        slots = min(slots, run.max_slots)
    left = elapsed(context.pipeline, works, slots=slots)
    if foreseen and foreseen.budgets and foreseen.seconds and run.started:
        # Days that tables wait for are in the plan's estimate alone.
        left = max(left, foreseen.seconds - (time.time() - run.started))
    return left


def _works(plan: Plan, steps: Sequence[StepRecord], foreseen: Estimate | None) -> list[Work] | None:
    """The work of steps that have not settled, running ones first; None when any is unknown."""
    planned, own = dict(plan.steps()), _own_samples(plan, steps)
    running: list[Work] = []
    waiting: list[Work] = []
    for record in steps:
        if record.state in STEP_ENDED:
            continue
        step = planned[record.id]
        seconds = _seconds(step.phase, len(step.dates), own, foreseen)
        if seconds is None:
            return None
        is_running = record.state is StepState.RUNNING
        if is_running and record.began is not None:
            seconds = max(0.0, seconds - (time.time() - record.began))
        chunk = chunk_of(record.id)
        work = Work(chunk=chunk, phase=step.phase, dates=step.dates, seconds=seconds)
        (running if is_running else waiting).append(work)
    return [*running, *waiting]


def _own_samples(plan: Plan, steps: Sequence[StepRecord]) -> dict[str, Samples]:
    """Phase → dates and seconds of this run's own steps that succeeded at their first attempt."""
    planned = dict(plan.steps())
    own: dict[str, Samples] = {}
    for record in steps:
        is_smooth = record.state is StepState.SUCCEEDED and record.attempt == 1
        if is_smooth and record.worked:
            step = planned[record.id]
            own[step.phase] = [*own.get(step.phase, ()), (len(step.dates), record.worked)]
    return own


def _seconds(
    phase: str, dates: int, own: dict[str, Samples], foreseen: Estimate | None
) -> float | None:
    """What a step takes: by the run's own pace, else by its plan; None when neither knows."""
    samples = own.get(phase, ())
    known = foreseen.phases.get(phase) if foreseen else None
    if len(samples) >= OWN_STEPS_MIN or (samples and known is None):
        return pace_of(samples).seconds(dates)
    return known.seconds / known.dates * dates if known else None
