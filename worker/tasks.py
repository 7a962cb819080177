"""The two tasks: a step, and the finalization of a run.

One generic task for every phase: no worker can receive a task that it does not know.
"""

from __future__ import annotations

from typing import Any

from celery import Task

from worker.app import app
from worker.canvas import chunk_message
from worker.messages.transport import WAIT
from worker.run.finalize import finalize as finalize_run
from worker.step.context import context_here
from worker.step.errors import Requeue, StepFailed
from worker.step.visit import visit


@app.task(bind=True, name="backfill.step", max_retries=None)
def step(task: Task, run_id: str, step_id: str) -> str:
    """Run one step of a run, if it is due."""
    context = context_here()
    try:
        return visit(context, run_id, step_id, worker=_worker(task))
    except Requeue as requeue:
        raise _requeued(task, requeue.seconds) from None
    except StepFailed as failed:
        if failed.rest:  # lost between here and Redis, the reconciler sends it
            chunk_message(run_id, failed.rest, context.pipeline).apply_async()
        raise


@app.task(bind=True, name="backfill.finalize", max_retries=None)
def finalize(task: Task, run_id: str) -> str:
    """Validate and report a run whose steps have settled: the chord's body, and its errback."""
    try:
        return finalize_run(context_here(), run_id)
    except Requeue as requeue:
        raise _requeued(task, requeue.seconds) from None


def _requeued(task: Any, seconds: float) -> Exception:
    """The task's message, requeued after a delay."""
    # No countdown: with one, a worker would hold the message; the header delays it in Redis.
    retry: Exception = task.retry(countdown=0, headers={WAIT: seconds}, throw=False)
    return retry


def _worker(task: Any) -> str:
    return str(task.request.hostname or "?")
