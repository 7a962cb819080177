"""The reconciler: resends what is unsettled in the ledger and has no message in the broker.

Messages are lost when Redis loses its last second, when a queue is purged, when a worker dies
between the end of one link and the sending of the next. The ledger still has the steps. Runs in
every worker, in `planner watch` and in `planner status`. Idempotent, and safe to run concurrently:
delivery is at least once, so a surplus message finds its step settled or leased.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

import redis
from kombu.exceptions import OperationalError

from planner.errors import FleetError
from planner.plan.plan import chunk_of
from planner.plan.states import RUN_ACTIVE, STEP_ENDED, RunState, StepState
from sql import WarehouseError
from worker.app import app, queue_names
from worker.canvas import final_message, rest, unsettled
from worker.context import Context
from worker.finalization.finalize import finalize
from worker.finalization.lost import end_if_lost
from worker.ledger.keys import run_key
from worker.ledger.lease import Lease, Resource
from worker.ledger.record import RunRecord
from worker.messages.aside import put_aside
from worker.messages.lanes import lists_of
from worker.messages.mailbox import FINAL, call_in, correct_times, steps_with_messages
from worker.messages.transport import send_only
from worker.run.control import settle_idle
from worker.run.stalled import tell_if_slow
from worker.status.no_progress import lacking
from worker.step.errors import Requeue

log = logging.getLogger(__name__)

LOOKED = "backfill:reconciled"
"""A key that expires between two passes: one process of the fleet reconciles per interval."""
LOOK_SHARE = 0.45  # of BACKFILL_RECONCILE_SECONDS: a worker that looks twice in it finds it gone


@dataclass(frozen=True, kw_only=True)
class Resent:
    """What was resent."""

    run_id: str
    chunk: str
    """Empty for the finalization."""


def reconcile(context: Context) -> list[Resent]:
    """One pass over every active run; what was resent.

    A missing message is only noted at first, and resent when it is still missing after
    `BACKFILL_RECONCILE_SECONDS`: one on its way from one link to the next is not lost.
    """
    active = [run for run in context.ledger.runs() if run.state in RUN_ACTIVE]
    if not active:
        return []
    if not context.is_patient:
        send_only(app)
    lease = Lease(
        context.redis, [Resource(name="reconcile")], seconds=context.settings.lease_seconds
    )
    if not lease.acquire():
        return []  # another process reconciles
    try:
        with lease.kept_alive():
            queues = lists_of(queue_names(*context.every_pipeline()))
            put_aside(context.redis, queues)
            correct_times(context.redis)
            context.ledger.forget_expired()
            # Their messages may be delayed for minutes by a retry, or for a day by a budget.
            cancelling = {run.id for run in active if run.state is RunState.CANCELLING}
            call_in(context.redis, queues, cancelling)
            for run in active:
                _tell_if_slow(context, run)
            there = steps_with_messages(context.redis, queues)
            return [
                each
                for run in active
                for each in _reconcile_one(context, run, there.get(run.id, set()))
            ]
    finally:
        lease.release()


def _tell_if_slow(context: Context, run: RunRecord) -> None:
    """Notify of a run that stands still or drifts. A run that cannot be read is only logged."""
    context = context.serving(run)
    if run.pipeline == context.pipeline.name:
        try:
            tell_if_slow(context, run)
        except FleetError as error:
            log.warning("%s: could not see whether it stands still: %s", run.id, error)


def _reconcile_one(context: Context, run: RunRecord, there: set[str]) -> list[Resent]:
    """Reconcile a run, whose steps `there` have messages. An error of one run is logged, so that
    the others are reconciled."""
    try:
        return _reconcile_run(context, run, there)
    except FleetError as error:  # such as the plan of another version
        log.warning("%s: could not reconcile: %s", run.id, error)
    except redis.ResponseError as error:  # a key of the run that is of another type
        log.warning("%s: could not reconcile: %s", run.id, error)
    except (redis.RedisError, OperationalError):  # no other run could be reconciled now
        raise
    except Exception:
        log.exception("%s: could not reconcile", run.id)
    return []


def _reconcile_run(context: Context, run: RunRecord, there: set[str]) -> list[Resent]:
    context = context.serving(run)
    states = context.ledger.steps(run.id)
    if run.state is RunState.CANCELLING and lacking(context, run):
        # A deadline holds without workers too: where none is left, a planner ends the run.
        if settle_idle(context, run.id, states) and not context.is_patient:
            with suppress(Requeue):
                finalize(context, run.id)
                return []
        states = context.ledger.steps(run.id)
    elif run.pipeline != context.pipeline.name:
        return []
    if end_if_lost(context, run, states):
        return []
    # The plan is not read: it is large, and as a rule nothing is lost.
    wanted = {chunk_of(step) for step, at in states.items() if at not in STEP_ENDED} or {FINAL}
    lost = _lost_long_enough(context, run.id, wanted - _awaited(there, states))
    sent = [each for each in sorted(lost) if _send(context, run, each, states)]
    for each in sent:
        log.warning("%s: resent: %s", run.id, each or "the finalization")
    return [Resent(run_id=run.id, chunk=each) for each in sent]


def _awaited(there: set[str], states: Mapping[str, StepState]) -> set[str]:
    """Chunks (or FINAL) whose next step a message will run, by the steps that have messages.

    A message of a step that has settled does not count: its worker should have acknowledged it, and
    a worker that hangs keeps it for as long as it lives.
    """
    return {
        FINAL if each == FINAL else chunk_of(each)
        for each in there
        if each == FINAL or states.get(each) not in STEP_ENDED
    }


def _send(context: Context, run: RunRecord, chunk_id: str, states: Mapping[str, StepState]) -> bool:
    """Send the finalization, or what is left of a chunk; False when there is no such chunk."""
    if chunk_id == FINAL:
        final_message(run.id, lane=run.lane).apply_async()
        return True
    chunk = context.chunk(run.id, chunk_id)
    if chunk is not None:
        left = unsettled(chunk, states)
        rest(run.id, left, context.pipeline, lane=run.lane).apply_async()
    return chunk is not None


def _lost_long_enough(context: Context, run_id: str, missing: set[str]) -> set[str]:
    """The chunks `missing` a message that have missed it for `BACKFILL_RECONCILE_SECONDS`."""
    key = run_key(run_id, "missing")
    now = context.ledger.now()
    noted = {str(each): float(since) for each, since in context.redis.hgetall(key).items()}
    pipe = context.redis.pipeline()
    for each in set(noted) - missing:
        pipe.hdel(key, each)
    for each in missing - set(noted):
        pipe.hset(key, each, now)
    lost = {e for e in missing & set(noted) if now - noted[e] >= context.settings.reconcile_seconds}
    for each in lost:
        pipe.hset(key, each, now)  # resent once per interval
    pipe.execute()
    return lost


def reconcile_in_turn(context: Context) -> list[Resent]:
    """Reconcile, unless another process of the fleet has just done it: it looks twice in
    `BACKFILL_RECONCILE_SECONDS`, however many come to it. A look reads every message."""
    between = int(LOOK_SHARE * context.settings.reconcile_seconds * 1e3)
    is_our_turn = context.redis.set(LOOKED, "1", nx=True, px=between)
    return reconcile(context) if is_our_turn else []


def reconcile_quietly(context: Context) -> None:
    """Reconcile in turn; an error is only logged, since it is done anew at the next."""
    try:
        reconcile_in_turn(context)
    except (FleetError, WarehouseError, redis.RedisError, OSError) as error:
        log.warning("could not reconcile: %s", error)
    except Exception:
        log.exception("could not reconcile")
