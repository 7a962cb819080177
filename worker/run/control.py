"""Control of a run: pause, resume, cancel, and retry what is not done."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date

from planner.errors import FleetError, UsageError
from planner.pipeline.lookback import lookback
from planner.plan.states import DateState, RunState
from worker.ledger.ledger import StillHeld
from worker.ledger.orders import PLAIN, Orders
from worker.ledger.record import RunRecord
from worker.run.enqueue import send_steps
from worker.step.context import Context

UNDONE = (DateState.FAILED, DateState.BLOCKED, DateState.CANCELLED)


def pause(context: Context, run_id: str) -> None:
    """No step starts from now on; those that run go on to their end."""
    _move(context, run_id, RunState.PAUSED, RunState.RUNNING, doing="paused")


def resume(context: Context, run_id: str, *, force_service: bool = False) -> None:
    """Go on with a paused run, or with one whose planner died while publishing it.

    What has no message is sent by the reconciler. `force_service` adds to what the run may do.
    """
    _move(context, run_id, RunState.RUNNING, RunState.PAUSED, RunState.INCOMPLETE, doing="resumed")
    if force_service:
        context.ledger.force_service(run_id)


def cancel(context: Context, run_id: str) -> None:
    """Stop running steps, start none, and finalize with what is there."""
    _move(
        context,
        run_id,
        RunState.CANCELLING,
        RunState.RUNNING,
        RunState.PAUSED,
        RunState.INCOMPLETE,
        doing="cancelled",
    )


def retry(
    context: Context,
    run_id: str,
    *,
    phase: str | None = None,
    dates: Collection[date] | None = None,
    orders: Orders = PLAIN,
) -> int:
    """Try failed, blocked and cancelled dates again, under the same run; how many steps.

    `phase` means that phase and all after it; `dates` only those, and what was blocked by them.
    `orders` replace the earlier ones. Raises `UsageError` when the run goes on, or nothing is left
    to try, and `FleetError` when another run holds a date.
    """
    run, plan = context.ledger.require(run_id), context.plan(run_id)
    if plan is None:
        raise UsageError(f"The plan of {run_id} is forgotten: `planner enqueue --gaps` instead.")
    if not run.is_ended:
        raise UsageError(f"{run_id} is {run.state}: only an ended run can be tried again.")
    if phase is not None and phase not in context.pipeline.by_name:
        raise UsageError(f"There is no phase {phase!r}: {', '.join(context.pipeline.by_name)}.")
    chosen = [
        name
        for name in context.pipeline.by_name
        if phase in (None, name) or phase in context.pipeline.ancestors[name]
    ]
    states = context.ledger.all_dates(run_id)
    undone = {pair for pair, state in states.items() if state in UNDONE and pair[0] in chosen}
    again = {pair for pair in undone if dates is None or pair[1] in dates}
    for each in context.pipeline.phases:  # in order, so that it reaches through all of them
        again |= {
            (each.name, day)
            for name, day in undone
            if name == each.name
            and any(
                (upstream, past) in again
                for upstream in each.after
                for past in lookback(day, each).days()
            )
        }
    steps = [
        step_id
        for step_id, step in plan.steps()
        if any((step.phase, day) in again for day in step.dates)
    ]
    if not steps:
        raise UsageError(f"Nothing of {run_id} is left to try again there.")
    try:
        context.ledger.reopen(run_id, again, steps, orders)
    except StillHeld as error:
        raise FleetError(
            f"{next(iter(error.held.values()))} is repairing some of these dates: watch it, "
            "then try again."
        ) from None
    send_steps(context, run_id, plan, set(steps))
    return len(steps)


def _move(context: Context, run_id: str, to: RunState, *allowed: RunState, doing: str) -> RunRecord:
    run = context.ledger.require(run_id)
    now = context.ledger.move(run_id, to, allowed)
    if now != to:
        raise UsageError(f"{run_id} is {now}: it cannot be {doing}.")
    return run
