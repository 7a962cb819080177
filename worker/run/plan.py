"""Makes plans with what the ledger knows: what is in flight, what is owed, which runners exist."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

from planner.errors import BadPipeline
from planner.gaps.gaps import Assessment, GapReason, SkipReason
from planner.pipeline.windows import Window
from planner.plan import owed as owed_files
from planner.plan.choose import choose as choose_dates
from planner.plan.chunks import chunk
from planner.plan.command import Command
from planner.plan.cost import Cost
from planner.plan.owed import Owed
from planner.plan.plan import Plan, PlannedRunner, make_plan, new_id
from planner.plan.states import DateState
from worker.context import Context
from worker.ledger.ledger import Ledger
from worker.run.changed import NOT_ASKED, Changes
from worker.run.estimate import estimated
from worker.run.price import with_price
from worker.runners.choose import absence, choose
from worker.step.mismatch import is_here


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What the user asks a plan to do."""

    scope: Window
    phases: Collection[str]
    cascade: bool = True
    chunk_dates: int | None = None
    newest_first: bool = False
    limit: int | None = None
    exclude: Collection[date] = ()
    """Dates that are left out, and with them what is computed from them."""
    reasons: Collection[GapReason] = ()
    """Flaws that are repaired too."""
    redo: Collection[str] = ()
    """Phases whose complete dates are written anew."""
    changed: Collection[str] = ()
    """Phases whose complete dates are written anew where other code than today's made them."""
    gaps: bool = True
    """Whether gaps of other phases than `redo` names are repaired."""
    reason: str = ""
    asked: Command | None = None
    """The command that asks."""
    values: Mapping[str, str] = field(default_factory=dict)
    """Placeholder → what the run sets in its place."""
    pinned: Mapping[str, int] = field(default_factory=dict)
    """Phase → the number of the runner to use, from 1."""
    plan_id: str = field(default_factory=lambda: new_id("plan", datetime.now(UTC)))
    """Known before the plan is made: the queries that it rests on carry it."""


def plan_gaps(
    context: Context,
    assessment: Assessment,
    wanted: Wanted,
    *,
    ledger: Ledger | None,
    cost: Cost | None = None,
    changes: Changes = NOT_ASKED,
    with_estimate: bool = False,
) -> Plan:
    """Plan the repair of what `assessment` shows. Without a ledger, nothing counts as in flight.

    `changes` says which dates other code made, where `wanted` takes those.
    """
    pipeline = context.pipeline
    in_flight = ledger.held(pipeline.name, context.warehouse.identity) if ledger else {}
    repair = choose_dates(
        pipeline,
        assessment,
        scope=wanted.scope,
        phases=wanted.phases,
        reasons=wanted.reasons,
        redo=wanted.redo,
        changed=changes.of(wanted.changed),
        gaps=wanted.gaps,
        cascade=wanted.cascade,
        limit=wanted.limit,
        newest_first=wanted.newest_first,
        exclude=wanted.exclude,
        owed=owed_files.merged(owed_now(context, ledger)),
        in_flight=in_flight,
    )
    busy = {day for phase in pipeline.phases for day in _days_with_rows(assessment, phase.name)}
    chunks = chunk(
        pipeline,
        repair.todo,
        busy,
        size=wanted.chunk_dates or pipeline.chunk_dates,
        newest_first=wanted.newest_first,
    )
    return make_plan(
        pipeline,
        assessment,
        repair,
        chunks,
        warehouse=context.warehouse.name,
        warehouse_id=context.warehouse.identity,
        scope=wanted.scope.whole,
        reason=wanted.reason,
        asked=wanted.asked,
        plan_id=wanted.plan_id,
        cost=cost,
        estimate=estimated(context, chunks, ledger) if with_estimate else None,
    )


def plan_repair(
    context: Context,
    assessment: Assessment,
    wanted: Wanted,
    *,
    ledger: Ledger | None,
    cost: Cost | None,
    changes: Changes = NOT_ASKED,
) -> Plan:
    """As `plan_gaps`, with an estimate, its runners and its price. Raises `BadPipeline`."""
    plan = plan_gaps(
        context, assessment, wanted, ledger=ledger, cost=cost, changes=changes, with_estimate=True
    )
    chosen = {"values": dict(wanted.values), "pinned": dict(wanted.pinned)}
    return with_price(context, with_runners(context, plan.model_copy(update=chosen)))


def _days_with_rows(assessment: Assessment, phase: str) -> set[date]:
    """Dates with rows of a phase, or whose rows are not to be touched."""
    gaps, holding = assessment.gaps[phase], assessment.holding[phase]
    alone = (SkipReason.EXCLUDED, SkipReason.ACCEPTED)
    left = {day for day, why in assessment.empty[phase].items() if why.reason in alone}
    return {*assessment.complete[phase], *gaps, *holding, *left}


def owed_now(context: Context, ledger: Ledger | None) -> list[Owed]:
    """What earlier runs still owe: their notes, without the dates that the ledger has as done.

    Those are crossed out here too: the worker that ended the run may have another home, and the
    ledger's entries expire.
    """
    folder = context.settings.folder("owed")
    found = owed_files.read(folder, pipeline=context.pipeline.name)
    notes = [note for note in found if is_here(context, note)]
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


def with_runners(context: Context, plan: Plan) -> Plan:
    """The plan, and which runner each of its phases uses. Raises `BadPipeline` if one has none.

    A runner that only workers can check, because a variable is not set here, counts as there.
    """
    found = {}
    for name in dict.fromkeys(step.phase for _, step in plan.steps()):
        phase = context.pipeline.by_name[name]
        choice = choose(phase, context.pipeline_dir, plan.pinned.get(name))
        if choice.number is None:
            raise BadPipeline(
                f"Nothing can run {name}: {'; '.join(choice.absent)}. "
                "`planner doctor` shows what is missing."
            )
        spec = phase.runners[choice.number]
        found[name] = PlannedRunner(
            number=choice.number + 1, kind=spec.kind, absent=choice.absent, note=spec.note or ""
        )
    publishes = _publishes(context, plan)
    return plan.model_copy(update={"runners": found, "publishes": publishes}).sealed()


def _publishes(context: Context, plan: Plan) -> tuple[date, ...]:
    """The dates that the run is to publish. Raises `BadPipeline` when the script is not there."""
    publishing = context.pipeline.publish
    steps = [step for _, step in plan.steps() if publishing and step.phase == publishing.after]
    if publishing is not None and steps:
        why = absence(publishing.runner, context.pipeline_dir)
        if why is not None:
            raise BadPipeline(
                f"Nothing can publish: {why}. `planner doctor` shows what is missing."
            )
    return tuple(sorted(day for step in steps for day in step.dates))
