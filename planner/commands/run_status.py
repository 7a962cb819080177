"""How a run stands: what `status`, `watch` and the commands that wait say of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from planner.commands.waits import Logs, Retrying, Wait, logs_of, retrying, waits
from planner.errors import Exit
from planner.report.causes import Cause, cause_lines, causes, causes_json

if TYPE_CHECKING:
    from planner.report.report import Failure
    from worker.ledger.record import RunRecord, StepRecord
    from worker.run.forecast import Forecast
    from worker.step.context import Context

STATES = ("pending", "running", "succeeded", "failed", "blocked", "cancelled")


def run_exit(record: RunRecord) -> Exit:
    """The exit code of an ended run."""
    if record.state == "complete":
        remaining = (record.validation or {}).get("remaining", 0)
        unpublished = (record.publication or {}).get("failed")
        return Exit.GAPS if remaining or unpublished else Exit.DONE
    return Exit.FAILED


def status_json(context: Context, record: RunRecord) -> dict[str, Any]:
    """The documented shape of `planner status --json`."""
    from worker.run.forecast import outlook
    from worker.run.serving import held_up_by

    steps = context.ledger.step_records(record.id)
    tally = Counter(str(step.state) for step in steps)
    failures = failures_so_far(context, record)
    return {
        "run_id": record.id,
        "state": shown_state(record),
        "deadline": None if record.deadline is None else _iso(record.deadline),
        "stopped_by": record.stopped_by or None,
        "note": record.note or None,
        "steps": {state: tally[state] for state in STATES},
        "estimate": _estimate_json(outlook(context, record, steps)),
        "held_up_by": held_up_by(context, record, steps),
        "waiting": [_wait_json(wait) for wait in waits(record, steps)],
        "retrying": [_retry_json(each) for each in retrying(record, steps)],
        "validation": record.validation,
        "publication": record.publication,
        "causes": causes_json(causes(record.id, failures)),
        "failures": [each.model_dump(mode="json", exclude={"state"}) for each in failures],
        "logs": [each.as_json() for each in logs_of(steps)],
        "billed": _billed_json(context, record, steps),
        "code": [each.model_dump() for each in context.ledger.code(record.id)],
    }


def _wait_json(wait: Wait) -> dict[str, Any]:
    since = None if wait.since is None else _iso(wait.since)
    return {"for": wait.what, "steps": wait.steps, "since": since}


def _retry_json(each: Retrying) -> dict[str, Any]:
    return {"reason": each.reason, "steps": [*each.steps], "again": _iso(each.again)}


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
    from planner.plan.cost import cost_of
    from planner.plan.plan import phase_of

    phases: Counter[str] = Counter()
    for step in steps:
        phases[phase_of(step.id)] += step.billed
    cost = cost_of(record.billed, context.settings.dollars_per_tib)
    return {
        **cost.as_json(),
        "max_dollars": record.max_dollars,
        "phases": {phase: billed for phase, billed in phases.items() if billed},
    }


def shown_state(record: RunRecord) -> str:
    """One of the documented states: a run that is being cancelled still runs."""
    return "running" if record.state == "cancelling" else str(record.state)


def failures_so_far(context: Context, record: RunRecord) -> list[Failure]:
    """Dates that failed or were blocked so far."""
    from worker.run.report import failures

    plan = context.plan(record.id)
    if plan is None:
        return []
    found = failures(context, record, plan, context.ledger.all_dates(record.id))
    return [failure for failure in found if failure.state != "pending"]


def cause_lines_of(found: dict[str, Any]) -> list[str]:
    """What failed by cause, for a terminal, of a status' JSON."""
    return [line for each in found["causes"] for line in cause_lines(Cause(**each))]


def log_lines_of(found: dict[str, Any]) -> list[str]:
    """Which logs are on which host, for a terminal, of a status' JSON."""
    return [Logs(**each).line(found["run_id"]) for each in found["logs"]]


def _iso(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
