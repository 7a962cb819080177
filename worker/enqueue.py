"""Makes plans with what the ledger knows, and publishes them as runs."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime

from planner import owed as owed_files
from planner.chunks import chunk
from planner.errors import BadPlan, FleetError
from planner.gaps import Health
from planner.owed import Owed
from planner.pipeline import Window
from planner.plan import Plan, make_plan, new_id
from planner.repair import choose
from worker.fleet import Fleet
from worker.forecast import forecast
from worker.ledger import Ledger, StillHeld
from worker.states import DateState, RunState

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


def plan_gaps(
    fleet: Fleet,
    health: Health,
    wanted: Wanted,
    *,
    ledger: Ledger | None,
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
        estimate=forecast(fleet, chunks, ledger) if with_estimate else None,
    )


def _days_with_rows(health: Health, phase: str) -> set[date]:
    return set(health.complete[phase]) | set(health.gaps[phase])


def owed_now(fleet: Fleet, ledger: Ledger | None) -> list[Owed]:
    """What earlier runs still owe: their notes, less what the ledger saw recomputed."""
    notes = owed_files.read(
        fleet.settings.folder("owed"),
        pipeline=fleet.pipeline.name,
        warehouse=fleet.warehouse.name,
    )
    if ledger is None:
        return notes
    left = []
    for note in notes:
        dates = ledger.all_dates(note.run_id)
        left.append(note.without({p for p, state in dates.items() if state is DateState.DONE}))
    return left


def enqueue(fleet: Fleet, plan: Plan, again: Callable[[], Plan]) -> tuple[str | None, Plan]:
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
            fleet.ledger.register(run_id, plan)
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


def enqueue_plan(fleet: Fleet, plan: Plan) -> tuple[str | None, Plan]:
    """Publish a plan that was made before. Raises `BadPlan` if it is not for here and now."""
    if plan.pipeline_checksum != fleet.pipeline.checksum:
        raise BadPlan(
            f"{plan.plan_id} was made with another pipeline file than BACKFILL_PIPELINE "
            f"({fleet.settings.pipeline}): make a new plan."
        )
    if plan.warehouse != fleet.warehouse.name:
        raise BadPlan(
            f"{plan.plan_id} was made for {plan.warehouse}, and BACKFILL_WAREHOUSE is "
            f"{fleet.warehouse.name}."
        )
    held = fleet.ledger.held(plan.pipeline)
    pairs = [(step.phase, day) for _, step in plan.steps() for day in step.dates]
    busy = sorted({held[pair] for pair in pairs if pair in held})
    if busy:
        raise BadPlan(
            f"{plan.plan_id} cannot start: {', '.join(busy)} is repairing some of its dates. "
            f"Watch it with `planner watch {busy[0]}`, then make a new plan."
        )
    return enqueue(fleet, plan, lambda: plan)


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
    from worker.transport import publish_only

    publish_only(app)
    # People wait for this: a dead Redis is an error within seconds, not an hour's silence.
    policy = {**app.conf.task_publish_retry_policy, "max_retries": 3}
    app.conf.task_publish_retry_policy = policy
    canvas(run_id, plan, fleet.pipeline, steps).apply_async()
    fleet.ledger.move(run_id, RunState.RUNNING, [RunState.INCOMPLETE])


def _note_owed(fleet: Fleet, run_id: str, plan: Plan) -> None:
    owed_files.save(
        fleet.settings.folder("owed"),
        Owed(run_id=run_id, pipeline=plan.pipeline, warehouse=plan.warehouse, dates=plan.cascades),
    )


def _forget_owed(fleet: Fleet, run_id: str) -> None:
    (fleet.settings.folder("owed") / f"{run_id}.json").unlink(missing_ok=True)


def _hand_over(fleet: Fleet, run_id: str, taken: Collection[tuple[str, date]]) -> None:
    """What this run took over from earlier ones is owed by this run alone."""
    folder = fleet.settings.folder("owed")
    for note in owed_now(fleet, fleet.ledger):
        if note.run_id != run_id:
            owed_files.save(folder, note.without(taken))
