"""A run whose plan or steps are gone, as a Redis that evicts keys loses them: ended, by name.

What is left of it would look settled, or wait for ever.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime

from planner.errors import FleetError
from planner.gaps.snapshot import Snapshot
from planner.pipeline.windows import Window
from planner.plan.states import RunState, StepState
from planner.report.message import run_ended
from planner.report.report import Failure, Report, Short, Validation
from worker.context import Context
from worker.finalization.report_files import write_report
from worker.ledger.record import RunRecord
from worker.notify import notify

log = logging.getLogger(__name__)

LOST = "lost"
NO_COUNT = "what became of it is not known: it is to be counted again"


def end_if_lost(context: Context, run: RunRecord, states: Mapping[str, StepState]) -> bool:
    """End a run, as failed, when Redis has dropped its plan or some of its steps."""
    gone = run.steps_total - len(states)
    if gone <= 0 and context.ledger.has_plan(run.id):
        return False
    what = f"{gone} of its {run.steps_total} steps" if gone > 0 else "its plan"
    why = (
        f"{LOST}: Redis has dropped {what}. Set its maxmemory-policy to noeviction, then plan "
        "again: `planner enqueue --gaps`"
    )
    log.error("%s is %s", run.id, why)
    lose(context, run, why)
    return True


def lose(context: Context, run: RunRecord, why: str) -> None:
    """End a run as failed that cannot be counted, report what is left of it, and notify."""
    report = _report(context, run, why)
    if not context.ledger.lose(run, why, report=report.model_dump_json()):
        return  # another has ended it
    try:
        write_report(context, report)
    except (OSError, FleetError) as error:
        log.warning("%s has ended, and its files cannot be written: %s", run.id, error)
    notify(context, run_ended(report), once=str(run.endings))


def _report(context: Context, run: RunRecord, why: str) -> Report:
    """What the ledger still knows of a run, without its plan: none of its dates passes."""
    dates = context.ledger.all_dates(run.id)
    now = context.ledger.now()
    days = sorted({day for _, day in dates}) or [datetime.fromtimestamp(now, UTC).date()]
    scope = Window(start=days[0], end=days[-1])
    retry = f"planner enqueue --gaps --start {scope.start} --end {scope.end}"
    short = tuple(
        Short(phase=phase, date=day, reason=LOST, expected=0, found=0, detail=NO_COUNT)
        for phase, day in sorted(dates)
    )
    phases = dict.fromkeys(phase for phase, _ in sorted(dates))
    return Report(
        run_id=run.id,
        plan_id=run.plan_id,
        pipeline=run.pipeline,
        warehouse=run.warehouse,
        entity=context.pipeline.entity,
        state=str(RunState.FAILED),
        reason=run.reason,
        scope=scope,
        created=run.created,
        started=run.started,
        ended=now,
        steps=(),
        validation=Validation(passed=False, checked=len(short), short=short, remaining=0),
        failures=tuple(
            Failure(
                phase=phase,
                dates=tuple(sorted(day for name, day in dates if name == phase)),
                state=LOST,
                reason=why,
                retry=retry,
            )
            for phase in phases
        ),
        left_alone=0,
        before={},
        after={},
        seasons=(),
        days_before=Snapshot(window=scope, phases={}),
        days_after=Snapshot(window=scope, phases={}),
        notes=(why,),
    )
