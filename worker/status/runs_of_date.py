"""The runs that took a phase and date, and what they did with it. For `planner explain`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

from planner.plan.plan import step_id
from planner.plan.states import DateState
from worker.context import Context
from worker.ledger.keys import date_field, run_key
from worker.ledger.record import RunRecord, StepRecord, reading
from worker.step.log import log_path


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A run whose plan has a phase and date."""

    run: RunRecord
    state: DateState
    """Of the date."""
    step: StepRecord | None
    """The step it was part of; None when the run's plan cannot be read any more."""
    problem: str
    """What is wrong with the date, by this run; empty when it is done or still to do."""
    log: Path | None
    """The step's log, where it is on this machine: its worker's machine has it."""


def tried(context: Context, phase: str, day: date, *, at_most: int) -> list[Tried]:
    """The latest runs whose plans have a phase and date, newest first."""
    runs = context.ledger.runs(on_bad=lambda error: None)
    runs = [run for run in runs if run.pipeline == context.pipeline.name]
    pipe = context.redis.pipeline(transaction=False)
    for run in runs:
        pipe.hget(run_key(run.id, "dates"), date_field(phase, day))
    with reading(f"how {phase} {day} stands in its runs"):
        had = [(run, state) for run, state in zip(runs, pipe.execute(), strict=True) if state]
        told = [(run, DateState(state)) for run, state in had[:at_most]]
    return [_of(context, run, state, phase, day) for run, state in told]


def _of(context: Context, run: RunRecord, state: DateState, phase: str, day: date) -> Tried:
    plan = context.plan(run.id)
    chunks = plan.chunks if plan else ()
    steps = [
        step_id(chunk.id, phase)
        for chunk in chunks
        if any(step.phase == phase and day in step.dates for step in chunk.steps)
    ]
    if not steps:
        return Tried(run=run, state=state, step=None, problem="", log=None)
    log = log_path(context, run.id, steps[0])
    return Tried(
        run=run,
        state=state,
        step=context.ledger.step(run.id, steps[0]),
        problem=context.ledger.problems(run.id, steps[0]).get(day, ""),
        log=log if log.exists() else None,
    )
