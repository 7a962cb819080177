"""Control of a run: pause, resume, cancel, and retry what is not done."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from datetime import date

from planner.errors import FleetError, UsageError
from planner.pipeline.lookback import upstream
from planner.plan.states import DATE_UNDONE, RUN_CANCELLABLE, STEP_ENDED, RunState, StepState
from planner.report.report import NOT_COUNTED, Report
from worker.context import Context
from worker.finalization.finalize import finalize
from worker.ledger.orders import PLAIN, UNCHANGED, OrderChanges, Orders
from worker.ledger.record import RunRecord, reading
from worker.ledger.runs import StillHeld
from worker.run.enqueue import send_steps
from worker.run.sharing import share_anew
from worker.step.errors import Requeue, StepFailed
from worker.step.mismatch import KEEPING, WAREHOUSE, mismatch
from worker.step.visit import visit


def pause(context: Context, run_id: str) -> None:
    """Start no step from now on; those that run go on to their end."""
    _move(context, run_id, RunState.PAUSED, RunState.RUNNING, doing="paused")


def resume(
    context: Context,
    run_id: str,
    *,
    force_service: bool = False,
    max_dollars: float | None = None,
    changes: OrderChanges = UNCHANGED,
) -> None:
    """Go on with a paused run, or with one whose planner died while sending it.

    The reconciler sends the steps without a message. `force_service` adds to the run's orders,
    `max_dollars` replaces its limit, and `changes` how it shares the fleet: with those, a run that
    goes on is taken, too.
    """
    run = context.ledger.require(run_id)
    _require_match(context, run)
    _move(context, run_id, RunState.RUNNING, RunState.PAUSED, RunState.INCOMPLETE, doing="resumed")
    if changes:
        share_anew(context, run, changes)
    context.ledger.forget_note(run_id)
    if max_dollars is not None:
        context.ledger.limit_dollars(run_id, max_dollars)
    if force_service:
        context.ledger.force_service(run_id)


def cancel(context: Context, run_id: str) -> RunState:
    """Stop running steps, start none, and finalize with what is there; the run's state then.

    Where nothing runs the run ends now, whether a worker is there or not.
    """
    _move(context, run_id, RunState.CANCELLING, *RUN_CANCELLABLE, doing="cancelled")
    if settle_idle(context, run_id, context.ledger.steps(run_id)):
        with suppress(Requeue):  # a worker ends it
            finalize(context, run_id)
    return context.ledger.require(run_id).state


def settle_idle(context: Context, run_id: str, states: Mapping[str, StepState]) -> bool:
    """Settle the steps of a run that is being cancelled, unless one runs; whether that was done.

    No message has to come for them: their queue may be one that no worker takes.
    """
    if StepState.RUNNING in states.values():
        return False
    for step_id in (each for each, state in states.items() if state not in STEP_ENDED):
        with suppress(Requeue, StepFailed):
            visit(context, run_id, step_id, worker="planner")
    return True


def retry(
    context: Context,
    run_id: str,
    *,
    phase: str | None = None,
    dates: Collection[date] | None = None,
    orders: Orders = PLAIN,
) -> int:
    """Retry failed, blocked and cancelled dates, under the same run; how many steps.

    `phase` means that phase and all after it; `dates` only those, and what was blocked by them.
    `orders` replace the earlier ones. A run of which nothing is left but its final count, which
    could not be taken, is counted and published: 0 steps. Raises `UsageError` when the run goes on,
    or nothing is left, and `FleetError` when another run holds a date.
    """
    run, plan = context.ledger.require(run_id), context.plan(run_id)
    if plan is None:
        raise UsageError(f"The plan of {run_id} is forgotten: `planner enqueue --gaps` instead.")
    if not run.is_ended:
        raise UsageError(f"{run_id} is {run.state}: only an ended run can be tried again.")
    _require_match(context, run)
    if phase is not None and phase not in context.pipeline.by_name:
        raise UsageError(f"There is no phase {phase!r}: {', '.join(context.pipeline.by_name)}.")
    retried = _with_downstream(context, _undone(context, run_id, phase), dates)
    steps = [
        step_id
        for step_id, step in plan.steps()
        if any((step.phase, day) in retried for day in step.dates)
    ]
    if not steps and not is_uncounted(context, run_id):
        raise UsageError(f"Nothing of {run_id} is left to try again there.")
    try:
        context.ledger.reopen(run_id, retried, steps, orders)
    except StillHeld as error:
        raise FleetError(
            f"{next(iter(error.held.values()))} is repairing some of these dates: watch it, "
            "then try again."
        ) from None
    send_steps(context, run_id, plan, set(steps))
    return len(steps)


def is_uncounted(context: Context, run_id: str) -> bool:
    """Whether a run has ended without its final count."""
    text = context.ledger.report(run_id)
    with reading(f"the report of {run_id}"):
        short = Report.model_validate_json(text).validation.short if text else ()
    return bool(short) and all(each.reason == NOT_COUNTED for each in short)


def _undone(context: Context, run_id: str, phase: str | None) -> set[tuple[str, date]]:
    """Phases and dates that were settled without their rows: of a phase and all after it."""
    ancestors = context.pipeline.ancestors
    return {
        (name, day)
        for (name, day), state in context.ledger.all_dates(run_id).items()
        if state in DATE_UNDONE
        and name in context.pipeline.by_name
        and (phase in (None, name) or phase in ancestors[name])
    }


def _with_downstream(
    context: Context, undone: AbstractSet[tuple[str, date]], dates: Collection[date] | None
) -> set[tuple[str, date]]:
    """Of what is undone the chosen dates, and those that have one of them upstream."""
    retried = {(name, day) for name, day in undone if dates is None or day in dates}
    for phase in context.pipeline.phases:  # in order, so that it reaches through all of them
        for name, day in undone:
            if name == phase.name and not retried.isdisjoint(upstream(day, phase)):
                retried.add((name, day))
    return retried


def _require_match(context: Context, run: RunRecord) -> None:
    """Raises `UsageError` when this pipeline file or warehouse is not the run's: workers that have
    the same would leave its steps alone."""
    other = mismatch(context, run)
    if other is None:
        return
    made_with = {WAREHOUSE: run.warehouse, KEEPING: run.keep_dataset}
    here = made_with.get(other, f"the file of {run.pipeline} as it was then")
    raise UsageError(
        f"{run.id} was made with {here}: set {other.setting} to that, here and for workers, or "
        f"`planner cancel {run.id}` and make a new plan with `planner enqueue --gaps`."
    )


def _move(context: Context, run_id: str, to: RunState, *allowed: RunState, doing: str) -> RunRecord:
    run = context.ledger.require(run_id)
    now = context.ledger.move(run_id, to, allowed)
    if now != to:
        raise UsageError(f"{run_id} is {now}: it cannot be {doing}.")
    return run
