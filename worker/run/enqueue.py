"""Registers a plan as a run, and sends its steps to the workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime

from planner.errors import BadPlan, FleetError, UsageError
from planner.gaps.gaps import SHORT, Assessment, Expected
from planner.pipeline.lookback import upstream
from planner.pipeline.phase import Phase
from planner.plan import owed as owed_files
from planner.plan.choices import require_choices
from planner.plan.owed import Owed
from planner.plan.plan import Plan, Task, new_id
from planner.plan.states import Priority, RunState
from worker.context import Context
from worker.ledger.orders import PLAIN, Orders
from worker.ledger.runs import StillHeld
from worker.run.keep import prepare
from worker.run.plan import owed_now, with_runners
from worker.step.mismatch import is_here

REPLANS_MAX = 5  # times that other planners take some dates first, before this one gives up


def enqueue(
    context: Context, plan: Plan, replan: Callable[[], Plan], orders: Orders = PLAIN
) -> tuple[str | None, Plan]:
    """Register a plan as a run, and send it; no run id when there is nothing to do.

    `replan` makes a new plan, when another planner took some of this one's dates meanwhile.
    """
    for _ in range(REPLANS_MAX):
        if plan.is_empty:
            return None, plan
        prepare(context, plan, orders)
        orders = replace(orders, lane=free_lane(context, orders.priority))
        run_id = new_id("run", datetime.now(UTC))
        taken = {(step.phase, day) for _, step in plan.steps() for day in step.dates}
        _note_owed(context, run_id, plan)
        try:
            context.ledger.register(run_id, plan, orders, warehouse_id=context.warehouse.identify())
        except StillHeld:
            _forget_owed(context, run_id)
            plan = replan()
            continue
        _take_over(context, run_id, taken)
        send_run(context, run_id, plan)
        return run_id, plan
    raise FleetError(
        f"Other planners took dates from under this one {REPLANS_MAX} times: try again."
    )


def require_here(context: Context, plan: Plan) -> None:
    """Raises `BadPlan` if a plan is for another pipeline file, warehouse or runner than here."""
    made_with = (plan.pipeline, plan.pipeline_checksum)
    if made_with != (context.pipeline.name, context.pipeline.checksum):
        raise BadPlan(
            f"{plan.plan_id} was made with another pipeline file than BACKFILL_PIPELINE "
            f"({context.settings.pipeline}): make a new plan."
        )
    if not is_here(context, plan):
        if plan.warehouse == context.warehouse.name:
            raise BadPlan(
                f"{plan.plan_id} was made for another warehouse of the same name "
                f"({plan.warehouse}), on another machine or before the folder was replaced: make a "
                "new plan."
            )
        raise BadPlan(
            f"{plan.plan_id} was made for {plan.warehouse}, and BACKFILL_WAREHOUSE is "
            f"{context.warehouse.name}: set that, or make a new plan."
        )
    # A checksum is no signature: a plan made by hand can have one that matches.
    runnable = [phase.name for phase in context.pipeline.phases if not phase.is_watched]
    for chunk_ in plan.chunks:
        named = [step.phase for step in chunk_.steps]
        if named != [name for name in runnable if name in named]:
            raise BadPlan(
                f"{plan.plan_id} names phases that {context.pipeline.name} does not have, or not "
                f"in this order ({chunk_.id}): make a new plan."
            )
    try:
        require_choices(context.pipeline, runnable, plan.values, plan.pinned)
    except UsageError as error:
        raise BadPlan(f"{plan.plan_id}: {error}") from None
    for name, now in with_runners(context, plan).runners.items():
        then = plan.runners.get(name)
        if then is not None and then.number != now.number:
            raise BadPlan(
                f"{plan.plan_id} has {name} run by its runner {then.number} ({then.kind}), and now "
                f"it would be runner {now.number} ({now.kind}): make a new plan."
            )


def require_now(context: Context, plan: Plan, assessment: Assessment) -> None:
    """Raises `BadPlan` if another run is at the plan's dates, or the warehouse has changed.

    `assessment` is how the plan's scope stands now.
    """
    held = context.ledger.held(plan.pipeline, context.warehouse.identity)
    tasks = {(step.phase, task.date): task for _, step in plan.steps() for task in step.tasks}
    busy = sorted({held[pair] for pair in tasks if pair in held})
    if busy:
        raise BadPlan(
            f"{plan.plan_id} cannot start: {', '.join(busy)} is repairing some of its dates. "
            f"Watch it with `planner watch {busy[0]}`, then make a new plan."
        )
    owed = owed_files.merged(owed_now(context, context.ledger))
    for (phase, day), task in tasks.items():
        why = _changed(context.pipeline.by_name[phase], task, assessment, tasks, owed)
        if why is not None:
            raise BadPlan(
                f"{plan.plan_id} is of {plan.created:%Y-%m-%d %H:%M} UTC, and the warehouse has "
                f"changed since: {phase} {day} {why}. Make a new plan."
            )


def _changed(
    phase: Phase,
    task: Task,
    assessment: Assessment,
    planned: Collection[tuple[str, date]],
    owed: Mapping[str, Collection[date]],
) -> str | None:
    """Why a date would be planned otherwise now; None when it would not."""
    if task.date in assessment.empty[phase.name]:
        return f"is {assessment.empty[phase.name][task.date].reason} now"
    for name, past in upstream(task.date, phase):
        gap = assessment.gaps[name].get(past)
        is_short = (gap is not None and gap.reason in SHORT) or past in owed.get(name, ())
        if is_short and (name, past) not in planned:
            return f"needs {name} {past}, which is short now and no part of the plan"
    left = assessment.unready_upstream(phase, task.date)
    if left is not None:
        return f"is computed from {left.phase} {left.date}, which is {left.reason} now"
    if task.reason in SHORT.union(task.flaws):
        gap = assessment.gaps[phase.name].get(task.date)
        if gap is None:
            return "is complete now"
        if gap.reason not in SHORT and gap.reasons.isdisjoint(task.flaws):
            return f"is not {task.reason} any more ({gap.detail})"
    expected = assessment.expected[phase.name][task.date]
    if dict(expected) != task.expected:
        return f"should hold {_counts(expected)} now, not {_counts(task.expected)}"
    return None


def _counts(expected: Expected) -> str:
    return ", ".join(f"{n} {entity}" for entity, n in expected.items()) or "any rows"


def send_run(context: Context, run_id: str, plan: Plan) -> None:
    """Send a registered run to the workers."""
    send_steps(context, run_id, plan, {step_id for step_id, _ in plan.steps()})


def send_steps(context: Context, run_id: str, plan: Plan, steps: Collection[str]) -> None:
    """Send some steps of a registered run to the workers, if any, and then its finalization.

    Until that is done the run is `incomplete`: workers requeue its steps, and should this process
    die, `planner resume` goes on.
    """
    from worker.app import app  # Celery costs 126 ms to import
    from worker.canvas import final_message, send
    from worker.messages.transport import send_only

    send_only(app)
    lane = context.ledger.require(run_id).lane
    if steps:
        send(context.redis, run_id, plan, context.pipeline, steps, lane=lane)
    else:
        final_message(run_id, lane=lane).apply_async()
    context.ledger.move(run_id, RunState.RUNNING, [RunState.INCOMPLETE])


def free_lane(context: Context, priority: Priority) -> int:
    """The lane of a new run, beside those that go on."""
    from worker.messages.lanes import lane_for  # kombu

    steps: Counter[int] = Counter()
    for run in context.ledger.runs():
        if not run.is_ended:
            steps[run.lane] += run.steps_total
    return lane_for(priority, steps)


def _note_owed(context: Context, run_id: str, plan: Plan) -> None:
    owed_files.save(
        context.settings.folder("owed"),
        Owed(
            run_id=run_id,
            pipeline=plan.pipeline,
            warehouse=plan.warehouse,
            warehouse_id=context.warehouse.identify(),
            dates={phase: set(days) for phase, days in plan.recompute.items()},
        ),
    )


def _forget_owed(context: Context, run_id: str) -> None:
    (context.settings.folder("owed") / f"{run_id}.json").unlink(missing_ok=True)


def _take_over(context: Context, run_id: str, taken: Collection[tuple[str, date]]) -> None:
    """Cross out what this run takes over from earlier ones: it alone owes those dates now."""
    folder = context.settings.folder("owed")
    for note in owed_now(context, context.ledger):
        if note.run_id != run_id:
            owed_files.cross_out(folder, note.run_id, taken)
