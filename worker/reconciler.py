"""The reconciler: whatever the ledger calls unfinished, and the broker has no message for, is
sent again.

Messages are lost when Redis loses its last second, when a queue is purged, when a worker dies
between the end of one link and the sending of the next. The ledger still knows. Part of every
worker, of `planner watch` and of `planner status`; safe to run anywhere, any number of times at
once: a message too many finds its step done, or held.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import redis
from celery import chain
from kombu.exceptions import OperationalError

from planner.errors import FleetError
from planner.plan.plan import PlannedChunk, step_id
from planner.plan.states import STEP_ENDED, RunState, StepState
from sql import WarehouseError
from worker.app import app, queue_names
from worker.canvas import final_message, step_message
from worker.ledger.lease import Lease, Resource
from worker.ledger.ledger import PREFIX
from worker.ledger.record import RunRecord
from worker.messages.mailbox import FINAL, call_in, chunks_with_messages, correct_times
from worker.messages.transport import send_only
from worker.step.context import Context

log = logging.getLogger(__name__)

ACTIVE = (RunState.RUNNING, RunState.PAUSED, RunState.CANCELLING)


@dataclass(frozen=True, kw_only=True)
class Resent:
    """What was sent again."""

    run_id: str
    chunk: str
    """Empty for the finalization."""


def reconcile(context: Context) -> list[Resent]:
    """Look once over every active run; what was sent again.

    What has no message is only noted at first, and sent again when it still has none after
    `BACKFILL_RECONCILE_SECONDS`: a message on its way from one link to the next is not lost.
    """
    active = [run for run in context.ledger.runs() if run.state in ACTIVE]
    if not active:
        return []
    if not context.is_patient:
        send_only(app)
    lease = Lease(
        context.redis, [Resource(name="reconcile")], seconds=context.settings.lease_seconds
    )
    if lease.acquire() is not None:
        return []  # somebody is at it
    try:
        with lease:
            correct_times(context.redis)
            queues = queue_names(context.pipeline)
            # They may wait for a second try, minutes from now, or for a budget's next day.
            cancelling = {run.id for run in active if run.state is RunState.CANCELLING}
            call_in(context.redis, queues, cancelling)
            there = chunks_with_messages(context.redis, queues)
            return [sent for run in active for sent in _reconcile_one(context, run, there)]
    finally:
        lease.release()


def _reconcile_one(context: Context, run: RunRecord, there: set[tuple[str, str]]) -> list[Resent]:
    """Reconcile a run; one that cannot be is not in the way of others."""
    try:
        return _reconcile_run(context, run, there)
    except FleetError as error:  # such as a plan that another version wrote
        log.warning("%s: could not reconcile: %s", run.id, error)
    except (redis.RedisError, OperationalError):  # nor could any other
        raise
    except Exception:
        log.exception("%s: could not reconcile", run.id)
    return []


def _reconcile_run(context: Context, run: RunRecord, there: set[tuple[str, str]]) -> list[Resent]:
    plan = context.plan(run.id)
    if plan is None or run.pipeline != context.pipeline.name:
        return []
    states = context.ledger.steps(run.id)
    unfinished = {chunk.id: chunk for chunk in plan.chunks if _rest(chunk, states)}
    wanted = {*unfinished} if unfinished else {FINAL}
    missing = {each for each in wanted if (run.id, each) not in there}
    lost = _lost_long_enough(context, run.id, missing)
    for each in lost:
        if each == FINAL:
            final_message(run.id).apply_async()
        else:
            rest = [
                step_message(run.id, step, context.pipeline)
                for step in _rest(unfinished[each], states)
            ]
            chain(*rest).apply_async()
        log.warning("%s: sent again: %s", run.id, each or "the finalization")
    return [Resent(run_id=run.id, chunk=each) for each in sorted(lost)]


def _rest(chunk: PlannedChunk, states: dict[str, StepState]) -> list[str]:
    """The steps of a chunk that have not ended, in order."""
    ids = [step_id(chunk.id, step.phase) for step in chunk.steps]
    return [each for each in ids if states.get(each) not in STEP_ENDED]


def _lost_long_enough(context: Context, run_id: str, missing: set[str]) -> set[str]:
    """Of what has no message now, that which had none for the whole while."""
    key = f"{PREFIX}:run:{run_id}:missing"
    now = context.ledger.now()
    noted = {str(each): float(since) for each, since in context.redis.hgetall(key).items()}
    pipe = context.redis.pipeline()
    for each in set(noted) - missing:
        pipe.hdel(key, each)
    for each in missing - set(noted):
        pipe.hset(key, each, now)
    lost = {e for e in missing & set(noted) if now - noted[e] >= context.settings.reconcile_seconds}
    for each in lost:
        pipe.hset(key, each, now)  # not again before as long has passed
    pipe.execute()
    return lost


def reconcile_quietly(context: Context) -> None:
    """Reconcile; whatever is in the way is only logged, for there is a next time."""
    try:
        reconcile(context)
    except (FleetError, WarehouseError, redis.RedisError, OSError) as error:
        log.warning("could not reconcile: %s", error)
    except Exception:
        log.exception("could not reconcile")
