"""Publishes what a run has repaired, date by date, when the final validation has counted it.

See `planner.pipeline.publish` for why this is no phase. Each published date is noted at once, so
that publishing is idempotent: a repeated finalization, or a retry, publishes only what is left.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection
from datetime import date

from planner import clock
from planner.pipeline.calendar import Calendar
from planner.pipeline.closing import Closing
from planner.pipeline.publish import Publication, Publish
from worker.context import Context
from worker.ledger.lease import Lease
from worker.processes import pulse
from worker.processes.secrets import redacted
from worker.runners.environment import fill
from worker.runners.job import LEASE_LOST, Job, Ran, Stopped
from worker.runners.script import Script
from worker.step.stop import Stop


class Interrupted(Exception):
    """Publishing had to stop: the next finalization resumes it."""


def publish(context: Context, run_id: str, repaired: Collection[date], lease: Lease) -> Publication:
    """Publish the repaired dates of a run, until it is cancelled.

    Raises `Interrupted`, and `WarehouseError`.
    """
    publishing = context.pipeline.publish
    assert publishing is not None
    ran, failed = context.ledger.published(run_id), {}
    days = sorted(set(repaired) - ran)
    if days:
        days += _newest(context, publishing, days[-1])
    stop = Stop(context, run_id, lease)
    for day in days:
        why = stop() or _complaint(context, publishing, run_id, day, stop)
        if why in (LEASE_LOST, Stop.SHUTDOWN):
            raise Interrupted(why)
        if why is None:
            context.ledger.note_published(run_id, day)
            ran.add(day)
        else:
            failed[day] = redacted(why)
    return Publication(
        phase=publishing.after,
        ran=tuple(sorted(ran - set(failed))),
        failed=failed,
        commands=tuple(_command(publishing, day) for day in failed),
    )


def _newest(context: Context, publishing: Publish, last: date) -> list[date]:
    """The newest date that the phase holds, when it is newer than `last`."""
    spec = context.pipeline.by_name[publishing.after].tables[0]
    closing = Closing(pipeline=context.pipeline, now=clock.now())
    end = max(last, Calendar(pipeline=context.pipeline).last or closing.today)
    warehouse = context.warehouse.labelled(phase="publish")
    newest = max(warehouse.coverage(spec.table, last, end), default=last)
    return [newest] if newest > last else []


def _complaint(
    context: Context, publishing: Publish, run_id: str, day: date, stop: Stop
) -> str | None:
    """Publish a date; the error, or why it had to stop; None when it was published."""
    try:
        with pulse.limited(publishing.timeout_seconds):
            outcome = Script(publishing.runner).run(_job(context, publishing, run_id, day, stop))
    except OSError as error:  # such as a full disk
        return f"the worker's machine: {error}"
    if isinstance(outcome, Ran):
        return None
    return outcome.why if isinstance(outcome, Stopped) else str(getattr(outcome, "error", outcome))


def _job(context: Context, publishing: Publish, run_id: str, day: date, stop: Stop) -> Job:
    phase = context.pipeline.by_name[publishing.after]
    return Job(
        run_id=run_id,
        step_id="publish",
        # The script needs nothing of the phase but its time limit.
        phase=phase.model_copy(update={"timeout_seconds": publishing.timeout_seconds}),
        dates=(day,),
        attempt=1,
        checkpoint={},
        log=context.settings.folder(f"logs/{run_id}") / "publish.log",
        pipeline_dir=context.pipeline_dir,
        warehouse=context.warehouse,
        grace_seconds=context.settings.grace_seconds,
        stop=stop,
    )


def _command(publishing: Publish, day: date) -> str:
    """The command for a shell in the script's folder; `${NAME}` is left to the shell."""
    values = publishing.runner.chosen({})
    words = [fill(word, (day,), values) for word in publishing.runner.command]
    return " ".join(word if "${" in word else shlex.quote(word) for word in words)
