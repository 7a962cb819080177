"""Which attempt is under way: told to its log lines, and written down as a span of its run."""

from __future__ import annotations

from typing import Any

from worker.ledger.record import RunRecord
from worker.processes.logs import tell_of
from worker.processes.tracing import step_span
from worker.runners import Park, Stopped
from worker.step.attempt import Attempt
from worker.step.ended import Ended, OverBudget


def make_traced(run: RunRecord, attempt: Attempt) -> Ended | Park | Stopped | OverBudget:
    """Make an attempt, and tell of it."""
    days = [day.isoformat() for day in attempt.dates]
    about = {"run": run.id, "step": attempt.step_id, "phase": attempt.phase.name, "dates": days}
    tell_of(**about)
    told: dict[str, Any] = {f"backfill.{name}": value for name, value in about.items()}
    told |= {"backfill.attempt": attempt.number, "backfill.pipeline": run.pipeline}
    with step_span(run.id, run.endings, attempt.phase.name, told) as failed:
        outcome = attempt.make()
        if isinstance(outcome, Ended) and (wrong := {**outcome.short, **outcome.permanent}):
            failed(next(iter(wrong.values())))
    return outcome
