"""Makes plans with what the ledger knows, and publishes them as runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from planner.errors import BadPlan, FleetError
from planner.gaps.gaps import AGAIN, Expected, Health
from planner.pipeline.pipeline import Phase, Window
from planner.plan import owed as owed_files
from planner.plan.choose import choose, lookback
from planner.plan.chunks import chunk
from planner.plan.cost import Cost
from planner.plan.owed import Owed
from planner.plan.plan import Plan, Task, make_plan, new_id
from planner.plan.states import DateState, RunState
from worker.ledger.ledger import Ledger, StillHeld
from worker.ledger.orders import PLAIN, Orders
from worker.run.doctor import with_runners
from worker.run.forecast import forecast
from worker.step.context import Fleet

REPLANS_MAX = 5  # other planners that took dates from under this one, before it gives up


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the user asks a plan to do."""

    scope: Window
    phases: Collection[str]
    cascade: bool = True
    chunk_dates: int | None = None
    newest_first: bool = False
    limit: int | None = None
    reason: str = ""
    plan_id: str = field(default_factory=lambda: new_id("plan", datetime.now(UTC)))
    """Known before the plan is made: the queries that it rests on carry it."""


def plan_gaps(
    fleet: Fleet,
    health: Health,
    wanted: Wanted,
    *,
    ledger: Ledger | None,
    cost: Cost | None = None,
    with_estimate: bool = False,
) -> Plan:
    """Plan the repair of what `health` shows. Without a ledger, nothing counts as in flight."""
    pipeline = fleet.pipeline
    in_flight = ledger.held(pipeline.name) if ledger else {}
    repair = choose(
        pipeline,
        health,
        scope=wanted.scope,
        phases=wanted.phases,
        cascade=wanted.cascade,
        limit=wanted.limit,
        newest_first=wanted.newest_first,
        owed=owed_files.merged(owed_now(fleet, ledger)),
        in_flight=in_flight,
    )
    busy = {day for phase in pipeline.phases for day in _days_with_rows(health, phase.name)}
    chunks = chunk(
        pipeline,
        repair.todo,
        busy,
        size=wanted.chunk_dates or pipeline.chunk_dates,
        newest_first=wanted.newest_first,
    )
    return make_plan(
        pipeline,
        health,
        repair,
        chunks,
        warehouse=fleet.warehouse.name,
        scope=wanted.scope,
        reason=wanted.reason,
        plan_id=wanted.plan_id,
        cost=cost,
        estimate=forecast(fleet, chunks, ledger) if with_estimate else None,
    )


def plan_repair(
    fleet: Fleet, health: Health, wanted: Wanted, *, ledger: Ledger | None, cost: Cost | None
) -> Plan:
    """As `plan_gaps`, with how long it takes and what runs it. Raises `BadPipeline`."""
    plan = plan_gaps(fleet, health, wanted, ledger=ledger, cost=cost, with_estimate=True)
    return with_runners(fleet, plan)


def _days_with_rows(health: Health, phase: str) -> set[date]:
    return set(health.complete[phase]) | set(health.gaps[phase])


def owed_now(fleet: Fleet, ledger: Ledger | None) -> list[Owed]:
    """What earlier runs still owe: their notes, less what the ledger saw recomputed.

    That is crossed out here too: the worker that ended the run may have another home, and the
    ledger forgets.
    """
    folder = fleet.settings.folder("owed")
    notes = owed_files.read(
        folder,
        pipeline=fleet.pipeline.name,
        warehouse=fleet.warehouse.name,
    )
    if ledger is None:
        return notes
    left = []
    for note in notes:
        dates = ledger.all_dates(note.run_id)
        done = {pair for pair, state in dates.items() if state is DateState.DONE}
        if done:
            owed_files.cross_out(folder, note.run_id, done)
        left.append(note.without(done))
    return left


def enqueue(
    fleet: Fleet, plan: Plan, again: Callable[[], Plan], orders: Orders = PLAIN
) -> tuple[str | None, Plan]:
    """Register a plan as a run, and publish it; no run id when there is nothing to do.

    `again` makes a new plan, when another planner took some of this one's dates meanwhile.
    """
    for _ in range(REPLANS_MAX):
        if plan.is_empty:
            return None, plan
        run_id = new_id("run", datetime.now(UTC))
        taken = {(step.phase, day) for _, step in plan.steps() for day in step.dates}
        _note_owed(fleet, run_id, plan)
        try:
            fleet.ledger.register(run_id, plan, orders)
        except StillHeld:
            _forget_owed(fleet, run_id)
            plan = again()
            continue
        _hand_over(fleet, run_id, taken)
        publish(fleet, run_id, plan)
        return run_id, plan
    raise FleetError(
        f"Other planners took dates from under this one {REPLANS_MAX} times: try again."
    )


def require_here(fleet: Fleet, plan: Plan) -> None:
    """Raises `BadPlan` if a plan is for another pipeline file, warehouse or runner than here."""
    if plan.pipeline_checksum != fleet.pipeline.checksum:
        raise BadPlan(
            f"{plan.plan_id} was made with another pipeline file than BACKFILL_PIPELINE "
            f"({fleet.settings.pipeline}): make a new plan."
        )
    if plan.warehouse != fleet.warehouse.name:
        raise BadPlan(
            f"{plan.plan_id} was made for {plan.warehouse}, and BACKFILL_WAREHOUSE is "
            f"{fleet.warehouse.name}: set that, or make a new plan."
        )
    # A checksum is no signature: whoever makes a plan by hand can make one that fits.
    runnable = [phase.name for phase in fleet.pipeline.phases if not phase.is_source]
    for chunk_ in plan.chunks:
        named = [step.phase for step in chunk_.steps]
        if named != [name for name in runnable if name in named]:
            raise BadPlan(
                f"{plan.plan_id} names phases that {fleet.pipeline.name} does not have, or not in "
                f"this order ({chunk_.id}): make a new plan."
            )
    for name, now in with_runners(fleet, plan).runners.items():
        then = plan.runners.get(name)
        if then is not None and then.number != now.number:
            raise BadPlan(
                f"{plan.plan_id} has {name} run by its runner {then.number} ({then.kind}), and now "
                f"it would be runner {now.number} ({now.kind}): make a new plan."
            )


def require_now(fleet: Fleet, plan: Plan, health: Health) -> None:
    """Raises `BadPlan` if another run is at the plan's dates, or the warehouse has changed.

    `health` is how the plan's scope stands now.
    """
    held = fleet.ledger.held(plan.pipeline)
    tasks = {(step.phase, task.date): task for _, step in plan.steps() for task in step.tasks}
    busy = sorted({held[pair] for pair in tasks if pair in held})
    if busy:
        raise BadPlan(
            f"{plan.plan_id} cannot start: {', '.join(busy)} is repairing some of its dates. "
            f"Watch it with `planner watch {busy[0]}`, then make a new plan."
        )
    owed = owed_files.merged(owed_now(fleet, fleet.ledger))
    for (phase, day), task in tasks.items():
        why = _changed(fleet.pipeline.by_name[phase], task, health, tasks, owed)
        if why is not None:
            raise BadPlan(
                f"{plan.plan_id} is of {plan.created:%Y-%m-%d %H:%M} UTC, and the warehouse has "
                f"changed since: {phase} {day} {why}. Make a new plan."
            )


def _changed(
    phase: Phase,
    task: Task,
    health: Health,
    planned: Collection[tuple[str, date]],
    owed: Mapping[str, Collection[date]],
) -> str | None:
    """Why a date would not be planned as it was; None when it would."""
    if task.date in health.empty[phase.name]:
        return f"is {health.empty[phase.name][task.date].reason} now"
    for upstream in phase.after:
        for past in lookback(task.date, phase).days():
            is_short = past in health.gaps[upstream] or past in owed.get(upstream, ())
            if is_short and (upstream, past) not in planned:
                return f"needs {upstream} {past}, which is short now and no part of the plan"
    if task.reason not in AGAIN and task.date not in health.gaps[phase.name]:
        return "is complete now"
    expected = health.expected[phase.name][task.date]
    if dict(expected) != task.expected:
        return f"should hold {_counts(expected)} now, not {_counts(task.expected)}"
    return None


def _counts(expected: Expected) -> str:
    return ", ".join(f"{n} {entity}" for entity, n in expected.items()) or "any rows"


def publish(fleet: Fleet, run_id: str, plan: Plan) -> None:
    """Send a registered run to the workers."""
    publish_steps(fleet, run_id, plan, {step_id for step_id, _ in plan.steps()})


def publish_steps(fleet: Fleet, run_id: str, plan: Plan, steps: Collection[str]) -> None:
    """Send some steps of a registered run to the workers, and its finalization after them.

    Until that is done the run is `incomplete`: workers leave its steps alone, and should this
    process die, `planner resume` goes on.
    """
    from worker.app import app  # Celery costs 126 ms to import
    from worker.canvas import canvas
    from worker.messages.transport import publish_only

    publish_only(app)
    canvas(run_id, plan, fleet.pipeline, steps).apply_async()
    fleet.ledger.move(run_id, RunState.RUNNING, [RunState.INCOMPLETE])


def _note_owed(fleet: Fleet, run_id: str, plan: Plan) -> None:
    owed_files.save(
        fleet.settings.folder("owed"),
        Owed(
            run_id=run_id,
            pipeline=plan.pipeline,
            warehouse=plan.warehouse,
            dates={phase: set(days) for phase, days in plan.again.items()},
        ),
    )


def _forget_owed(fleet: Fleet, run_id: str) -> None:
    (fleet.settings.folder("owed") / f"{run_id}.json").unlink(missing_ok=True)


def _hand_over(fleet: Fleet, run_id: str, taken: Collection[tuple[str, date]]) -> None:
    """What this run took over from earlier ones is owed by this run alone."""
    folder = fleet.settings.folder("owed")
    for note in owed_now(fleet, fleet.ledger):
        if note.run_id != run_id:
            owed_files.cross_out(folder, note.run_id, taken)
