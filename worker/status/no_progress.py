"""Why a run makes no progress: paused, a process hangs, no worker is there or has what it needs."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from socket import gethostname

from planner.plan.plan import Plan, phase_of
from planner.plan.states import RunState, StepState
from planner.text import counted, duration
from worker.context import Context
from worker.ledger.record import RunRecord, StepRecord
from worker.ledger.slots import Member, members_now, pipeline_version

NO_WORKER = "no worker is there: start some with `planner up`"


def held_up_by(context: Context, run: RunRecord, steps: Iterable[StepRecord]) -> list[str]:
    """Why an active run makes no progress: it is paused, a process hangs, or no worker takes its
    steps.

    A worker that does not say what it has, as one of an earlier version, may have all.
    """
    if run.is_ended:
        return []
    if run.state is RunState.PAUSED:
        since = max(0.0, context.ledger.now() - run.paused) if run.paused else 0.0
        return [f"paused for {duration(since)}: `planner resume {run.id}` goes on with it"]
    if run.state is RunState.INCOMPLETE:
        return [f"not all of it is sent; if its planner is gone: `planner resume {run.id}`"]
    steps = list(steps)
    hung = [
        f"{step.id}: {step.hangs}"
        for step in steps
        if step.state is StepState.RUNNING and step.hangs
    ]
    left = [step for step in steps if step.state is StepState.PENDING or step.parked]
    by_name = context.pipeline.by_name
    phases = {phase_of(step.id) for step in left}
    queues = {by_name[name].queue_name for name in phases if name in by_name}
    return hung + lacking(context, run, queues)


def lacking(context: Context, run: RunRecord | Plan, queues: Collection[str] = ()) -> list[str]:
    """What the present workers lack for a run, or for a plan that is to be one."""
    members = members_now(context.redis)
    if not members:
        return [NO_WORKER]
    known = [member for member in members.values() if member is not None]
    if len(known) < len(members):
        return []
    many = len(known) > 1
    who = f"the {counted(len(known), 'worker')} there" if many else "the worker there"
    have = "have" if many else "has"
    hosts = ", ".join(sorted({member.host for member in known}))
    have_file = [each for each in known if each.has_file(run) or _takes_up(context, each, run)]
    if not have_file:
        return [
            f"{who} ({hosts}) {have} another pipeline file than {run.pipeline} as the run was "
            "planned with: restart `planner up` there with the planner's BACKFILL_PIPELINE, or put "
            "that file into the folder of its BACKFILL_PIPELINES"
        ]
    fit = [member for member in have_file if member.has_warehouse(run)]
    if not fit:
        return [
            f"{who} ({hosts}) {have} another warehouse than {run.warehouse}: restart `planner up` "
            "there with the planner's BACKFILL_WAREHOUSE"
        ]
    return [
        f"no worker takes queue {queue}: start one with `planner up -Q {queue}`"
        for queue in sorted(queues)
        if not any(queue in member.queues for member in fit)
    ]


def _takes_up(context: Context, member: Member, run: RunRecord | Plan) -> bool:
    """Whether a worker of this machine has the very file, and reads it anew for a step of the run:
    what it told of itself may be older than the file."""
    from planner.pipeline.folder import pipeline_paths  # slow to import

    own, *_ = pipeline_paths(context.settings.pipeline, None)
    is_as_planned = pipeline_version(context.pipeline) == (run.pipeline, run.pipeline_checksum)
    return is_as_planned and member.host == gethostname() and own in member.files
