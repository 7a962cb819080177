"""The final count of a run: taken when every step has settled, waited for while it may come.

A run that cannot be counted ends too. Then none of its dates counts as complete, and its report
says why.
"""

from __future__ import annotations

import logging

from planner import clock
from planner.pipeline.closing import Closing
from planner.plan.plan import Plan
from planner.plan.states import RunState
from planner.report.report import NOT_COUNTED, Short, Validation
from planner.validation.counts import Counts, count_tables
from sql import WarehouseError, WarehouseUnreachable
from worker.context import Context
from worker.ledger.record import RunRecord
from worker.processes.secrets import redacted
from worker.status.no_progress import lacking
from worker.step.errors import Requeue
from worker.step.mismatch import CONFIG_MISMATCHES_MAX, mismatch

log = logging.getLogger(__name__)

WAREHOUSE_LOOK_SECONDS = 30.0  # between two tries while the warehouse does not answer
MISMATCH_LOOK_SECONDS = 10.0  # between two looks: ten minutes for CONFIG_MISMATCHES_MAX


def final_count(context: Context, run: RunRecord, plan: Plan) -> Counts | str:
    """What the warehouse holds now; or, in words, why the run has to end without a count.

    Raises `Requeue` while it is worth waiting: for a warehouse that does not answer, unless the run
    is being cancelled, and for a while for a worker with the plan's pipeline file and warehouse: of
    a run that is being cancelled while one is there.
    """
    other = mismatch(context, run, plan)
    if other is not None:
        waits = f"its end waits for {other.waits_for}"
        count = context.ledger.note_end_waits(run.id, waits, config_mismatch=True)
        is_cut = run.state is RunState.CANCELLING and lacking(context, run)
        if count <= CONFIG_MISMATCHES_MAX and not is_cut:
            log.warning("%s: %s", run.id, waits)
            raise Requeue(MISMATCH_LOOK_SECONDS)
        return other.reason
    try:
        warehouse = context.warehouse.labelled(plan_id=plan.plan_id, phase="final")
        phases = context.pipeline.phases
        counts = count_tables(
            warehouse,
            context.pipeline,
            plan.reach,
            days_before=max(phase.days_before for phase in phases),
            days_after=max(phase.days_after for phase in phases),
            closing=Closing(pipeline=context.pipeline, now=clock.now(), included=plan.dates),
        )
        context.ledger.add_billed(run, None, warehouse.billed)
        return counts
    except WarehouseError as error:
        why = redacted(str(error))
        passes = isinstance(error, WarehouseUnreachable) or _is_away(context, run, error)
        if passes and run.state is not RunState.CANCELLING:
            raise held_up(context, run, why) from None
        return why


def _is_away(context: Context, run: RunRecord, error: WarehouseError) -> bool:
    """Whether a refusal may still pass, such as that of a table which is being recreated."""
    since = max(
        (step.ended or 0.0)
        for step in context.ledger.step_records(run.id, context.ledger.steps(run.id))
    )
    return context.ledger.now() - since < error.patience_seconds


def held_up(context: Context, run: RunRecord, why: str) -> Requeue:
    """The `Requeue` to raise while the run's end waits for the warehouse; noted, and logged."""
    context.ledger.note_end_waits(run.id, f"its end waits: {why}")
    log.warning("%s: its end waits: %s", run.id, why)
    return Requeue(WAREHOUSE_LOOK_SECONDS)


def uncounted(plan: Plan) -> Validation:
    """The validation of a run that could not be counted: no date passes."""
    short = tuple(
        Short(
            phase=step.phase,
            date=task.date,
            reason=NOT_COUNTED,
            expected=task.most,
            found=0,
            detail="the final count could not be taken",
        )
        for _, step in plan.steps()
        for task in step.tasks
    )
    return Validation(passed=False, checked=len(short), short=short, remaining=0)
