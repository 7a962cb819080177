"""The two tasks: a step, and the finalization of a run.

One generic step for every phase, so that a worker never meets a task that it does not know.
"""

from __future__ import annotations

from typing import Any

from celery import Task

from worker.app import app
from worker.messages.transport import WAIT
from worker.run.finalize import finalize as finalize_run
from worker.step import visit
from worker.step.context import context_here


@app.task(bind=True, name="backfill.step", max_retries=None)
def step(task: Task, run_id: str, step_id: str) -> str:
    """Do one step of a run, if it is due."""
    try:
        return visit.visit(context_here(), run_id, step_id, worker=_worker(task))
    except visit.Requeue as again:
        raise _later(task, again.seconds) from None


@app.task(bind=True, name="backfill.finalize", max_retries=None)
def finalize(task: Task, run_id: str) -> str:
    """Validate and report a run whose steps have settled: the chord's body, and its errback."""
    try:
        return finalize_run(context_here(), run_id)
    except visit.Requeue as again:
        raise _later(task, again.seconds) from None


def _later(task: Any, seconds: float) -> Exception:
    """The message, to come back after a while."""
    # Without a countdown: a worker would hold it, where this lets it wait in Redis.
    retry: Exception = task.retry(countdown=0, headers={WAIT: seconds}, throw=False)
    return retry


def _worker(task: Any) -> str:
    return str(task.request.hostname or "?")
