"""The two tasks: a step, and the finalization of a run.

One generic task for every phase: no worker can receive a task that it does not know. The task of a
step that did not succeed fails, so that Celery shows what the ledger says; Celery then runs nothing
more of its chain, so where a later step can still be done, the task sends those first.
"""

from __future__ import annotations

import logging
from typing import Any

import redis
from celery import Task, signals
from kombu.exceptions import OperationalError

from planner.errors import BadRecord
from planner.plan.plan import chunk_of
from worker.app import app
from worker.canvas import ids_of, rest, unsettled
from worker.context import Context, context_here
from worker.finalization.finalize import finalize as finalize_run
from worker.ledger.record import RunRecord
from worker.messages import lanes
from worker.messages.later import GOES_FIRST
from worker.messages.transport import AWAITED, WAIT
from worker.processes import pulse
from worker.processes.logs import tell_of
from worker.run.tidy import vacuum_daily
from worker.step.errors import Requeue, StepFailed, Working
from worker.step.visit import visit

log = logging.getLogger(__name__)

UNREADABLE_SECONDS = 10.0  # between two looks at a record that this version cannot read


@app.task(bind=True, name="backfill.step", max_retries=None)
def step(task: Task, run_id: str, step_id: str) -> str:
    """Run one step of a run, if it is due. Returns `succeeded`, fails, or is requeued."""
    context = context_here()
    tell_of(run=run_id, step=step_id)
    try:
        return visit(context, run_id, step_id, worker=_worker(task), on_run=_follow_lane)
    except Requeue as requeue:
        raise _requeued(task, requeue) from None
    except BadRecord as error:  # a worker of the version that wrote it can
        log.warning("%s", error)
        raise _requeued(task, Requeue(UNREADABLE_SECONDS, str(error))) from None
    except StepFailed as failed:
        if failed.goes_on:
            _send_rest(context, run_id, step_id)
        raise


@app.task(bind=True, name="backfill.finalize", max_retries=None)
def finalize(task: Task, run_id: str) -> str:
    """Validate and report a run whose steps have settled: the chord's body, and its errback."""
    tell_of(run=run_id)
    try:
        context = context_here()
        ended = finalize_run(context, run_id)
        vacuum_daily(context)
    except Requeue as requeue:
        raise _requeued(task, requeue) from None
    except BadRecord as error:
        log.warning("%s", error)
        raise _requeued(task, Requeue(UNREADABLE_SECONDS, str(error))) from None
    return ended


def _follow_lane(run: RunRecord) -> None:
    lanes.follow(run.lane)


@signals.task_prerun.connect
def _limit(**ignored: Any) -> None:
    pulse.allow()


@signals.task_postrun.connect
def _leave_lane(**ignored: Any) -> None:
    lanes.follow(None)
    pulse.allow_all()


def _send_rest(context: Context, run_id: str, step_id: str) -> None:
    """Send what is left of a step's chunk, as a chain of its own.

    The reconciler does it when this process dies before, or Redis does not answer.
    """
    chunk_id = chunk_of(step_id)
    try:
        run = context.ledger.run(run_id)
        context = context.serving(run) if run else context
        chunk = context.chunk(run_id, chunk_id)
        if chunk is not None and (
            left := unsettled(chunk, context.ledger.states(run_id, ids_of(chunk)))
        ):
            rest(run_id, left, context.pipeline, lane=run.lane if run else 0).apply_async()
    except (OperationalError, redis.RedisError) as error:
        log.warning("%s: could not send what is left of %s: %s", run_id, chunk_id, error)


def _requeued(task: Any, requeue: Requeue) -> Exception:
    """The task's message, requeued after a delay, with the reason for Flower."""
    # No countdown: with one, a worker would hold the message; the headers delay it in Redis.
    headers: dict[str, Any] = {WAIT: requeue.seconds}
    if isinstance(requeue, Working):
        headers[GOES_FIRST] = True
    if requeue.awaited:
        headers[AWAITED] = requeue.awaited.model_dump()
    retry: Exception = task.retry(countdown=0, exc=requeue, headers=headers, throw=False)
    return retry


def _worker(task: Any) -> str:
    return str(task.request.hostname or "?")
