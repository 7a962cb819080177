"""How a run stands, as JSON: what `status`, `watch`, `serve` and commands that wait say of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from planner.plan.cost import cost_of
from planner.plan.plan import phase_of
from planner.plan.states import RunState
from planner.report.causes import causes, causes_json
from planner.report.report import Failure
from planner.text import timestamp
from worker.context import Context
from worker.ledger.record import RunRecord, StepRecord
from worker.status.failures import failures
from worker.status.forecast import Forecast, forecast
from worker.status.no_progress import held_up_by
from worker.status.waits import Retrying, Wait, logs_of, retrying, waits

STATES = ("pending", "running", "succeeded", "failed", "blocked", "cancelled")


def status_json(context: Context, record: RunRecord) -> dict[str, Any]:
    """The documented shape of `planner status --json`."""
    steps = context.ledger.step_records(record.id)
    failed = failures_so_far(context, record)
    so_far = progress_json(context, record, steps, forecast(context, record, steps))
    return {
        **so_far,
        "billed": {
            **so_far["billed"],
            "steps": {step.id: step.billed for step in steps if step.billed},
        },
        "held_up_by": held_up_by(context, record, steps),
        "logs": [each.as_json() for each in logs_of(steps)],
        "causes": causes_json(causes(record.id, failed)),
        "failures": [each.model_dump(mode="json", exclude={"state"}) for each in failed],
        "code": [each.model_dump() for each in context.ledger.code(record.id)],
    }


def progress_json(
    context: Context, record: RunRecord, steps: Sequence[StepRecord], ahead: Forecast
) -> dict[str, Any]:
    """The part of it that follows from a run and its steps, and asks Redis nothing more."""
    tally = Counter(str(step.state) for step in steps)
    return {
        "run_id": record.id,
        "state": shown_state(record),
        "deadline": None if record.deadline is None else timestamp(record.deadline),
        **sharing_json(record),
        "stopped_by": record.stopped_by or None,
        "note": record.note or None,
        "steps": {state: tally[state] for state in STATES},
        "estimate": _estimate_json(ahead),
        "waiting": [_wait_json(wait) for wait in waits(record, steps)],
        "retrying": [_retry_json(each) for each in retrying(record, steps)],
        "validation": record.validation,
        "publication": record.publication,
        "billed": _billed_json(context, record, steps),
    }


def sharing_json(record: RunRecord) -> dict[str, Any]:
    """How it shares the fleet: priority, slots, hours."""
    return {
        "priority": str(record.priority),
        "max_slots": record.max_slots,
        "hours": None if record.hours is None else record.hours.text,
    }


def _wait_json(wait: Wait) -> dict[str, Any]:
    since = None if wait.since is None else timestamp(wait.since)
    return {"for": wait.what, "steps": wait.steps, "since": since}


def _retry_json(each: Retrying) -> dict[str, Any]:
    return {"reason": each.reason, "steps": [*each.steps], "again": timestamp(each.again)}


def _estimate_json(ahead: Forecast) -> dict[str, Any]:
    """Seconds, as the plan foresaw them and as they look now."""
    return {
        "planned_seconds": ahead.planned,
        "spent_seconds": round(ahead.spent, 1),
        "left_seconds": None if ahead.left is None else round(ahead.left, 1),
        "drifts": ahead.drifts,
    }


def _billed_json(
    context: Context, record: RunRecord, steps: Sequence[StepRecord]
) -> dict[str, Any]:
    """What the warehouse billed so far: in all, and for the steps of each phase."""
    phases: Counter[str] = Counter()
    labelled: Counter[str] = Counter()
    for step in steps:
        phases[phase_of(step.id)] += step.billed
        labelled[phase_of(step.id)] += step.labelled
    cost = cost_of(record.billed, context.settings.dollars_per_tib)
    return {
        **cost.as_json(),
        "max_dollars": record.max_dollars,
        "phases": {phase: billed for phase, billed in phases.items() if billed},
        "labelled": {phase: billed for phase, billed in labelled.items() if billed},
        "unknown": record.unbilled,
    }


def shown_state(record: RunRecord) -> str:
    """One of the documented states: a run that is being cancelled still runs."""
    return str(RunState.RUNNING if record.state is RunState.CANCELLING else record.state)


def failures_so_far(context: Context, record: RunRecord) -> list[Failure]:
    """Dates that failed or were blocked so far."""
    plan = context.plan(record.id)
    if plan is None:
        return []
    found = failures(context, record, plan, context.ledger.all_dates(record.id))
    return [failure for failure in found if failure.state != "pending"]
