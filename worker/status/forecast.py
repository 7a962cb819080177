"""Forecasts: of a repair from earlier runs, and of a run from its own steps so far."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from pydantic import BaseModel, ValidationError

from planner.plan.estimate import Estimate, History, Samples, estimate, pace_of
from planner.plan.plan import Plan, chunk_of
from planner.plan.simulate import Work, elapsed
from planner.plan.states import STEP_ENDED, RunState, StepState
from planner.report.report import StepRow
from worker.ledger.budget import spent
from worker.ledger.slots import slots_now

if TYPE_CHECKING:
    from planner.plan.chunks import Chunk
    from worker.ledger.ledger import Ledger
    from worker.ledger.record import RunRecord, StepRecord
    from worker.step.context import Context

log = logging.getLogger(__name__)

RUNS_MAX = 10  # the latest: older ones are less like the next
OWN_STEPS_MIN = 3  # of a phase, before the run's own pace replaces its plan's
DRIFT = 2.0  # times the estimate, before `planner watch` warns


class _PastRun(BaseModel):
    """The part of a report that a forecast reads."""

    run_id: str
    pipeline: str
    warehouse: str
    ended: float
    steps: tuple[StepRow, ...]


def forecast(context: Context, chunks: Iterable[Chunk], ledger: Ledger | None) -> Estimate | None:
    """Estimate a repair from earlier runs on this warehouse, else from the pipeline file.

    Without a ledger the workers and the budgets of today are unknown.
    """
    pipeline = context.pipeline
    limited = {spec.name for phase in pipeline.phases for spec in phase.tables if spec.daily_writes}
    return estimate(
        pipeline,
        chunks,
        history(context, ledger),
        slots=slots_now(ledger.client) if ledger else None,
        spent=spent(ledger.client, context.warehouse.name, sorted(limited)) if ledger else {},
    )


def history(context: Context, ledger: Ledger | None) -> History:
    """The steps that succeeded in the latest runs, by the reports here and in the ledger.

    Only those at their first attempt: `worked` adds up all attempts, and an estimate assumes no
    failures.
    """
    runs = list(islice(_past_runs(context, ledger), RUNS_MAX))
    samples: dict[str, list[tuple[int, float]]] = {}
    for run in runs:
        for row in run.steps:
            is_smooth = row.state == StepState.SUCCEEDED and row.attempt == 1
            if is_smooth and row.worked and row.dates:
                samples.setdefault(row.phase, []).append((len(row.dates), row.worked))
    return History(runs=len(runs), samples=samples)


def _past_runs(context: Context, ledger: Ledger | None) -> Iterator[_PastRun]:
    """Ended runs of this pipeline on this warehouse, latest first."""
    texts = {
        record.id: record.ended
        for record in (ledger.runs() if ledger else [])
        if record.is_ended and record.ended is not None
    }
    files = {
        path.parent.name: path for path in context.settings.folder("reports").glob("*/report.json")
    }
    times = {name: path.stat().st_mtime for name, path in files.items()} | texts
    for run_id in sorted(times, key=lambda each: times[each], reverse=True):
        try:
            text = files[run_id].read_text(encoding="utf-8") if run_id in files else None
            if text is None and ledger is not None:
                text = ledger.report(run_id)
            run = _PastRun.model_validate_json(text or "")
        except (OSError, ValidationError) as error:
            log.info("the report of %s cannot be read: %s", run_id, type(error).__name__)
            continue
        if (run.pipeline, run.warehouse) == (context.pipeline.name, context.warehouse.name):
            yield run


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """A run that goes on, against its estimate."""

    planned: float | None
    """Seconds that its plan foresaw; None when it could not."""
    spent: float
    """Seconds since it started, or was last retried, without pauses."""
    left: float | None
    """Seconds that it may still take; None while nothing is known."""
    is_limited: bool = False
    """Whether it was told hours or slots, of which its plan knows nothing."""

    @property
    def drifts(self) -> bool:
        """Whether it will take more than twice what its plan foresaw."""
        if not self.planned or self.left is None or self.is_limited:
            return False
        return self.spent + self.left > DRIFT * self.planned


def outlook(context: Context, run: RunRecord, steps: Sequence[StepRecord]) -> Forecast:
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
