"""The threads of a worker's main process: the janitor, which reconciles, and the delivery.

The janitor also keeps the worker in the registry that planners read (`worker.ledger.slots`).
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import redis
from billiard.process import current_process
from celery import signals
from kombu.exceptions import OperationalError

from planner.errors import FleetError
from planner.pipeline.folder import pipeline_paths
from planner.pipeline.pipeline import Pipeline
from planner.settings import load_settings
from sql.open import identity_of, warehouse_name
from worker.app import app, queue_names, short_queues
from worker.context import Context, context_here
from worker.hung import Hangs
from worker.ledger.connection import connect, forgetful
from worker.ledger.neighbours import Neighbours
from worker.ledger.slots import Member, pipeline_version, sign_off, sign_on
from worker.messages import lanes
from worker.messages.aside import put_aside
from worker.messages.delivered import restore_held
from worker.messages.lanes import lists_of
from worker.messages.later import Delivery
from worker.processes import pulse
from worker.processes.children import die_with_parent
from worker.reconciler import reconcile_quietly
from worker.run.tidy import tidy_daily
from worker.runners import orphans

log = logging.getLogger(__name__)

SILENT_TURNS_MAX = 3  # missed renewals after which a worker's entry expires
LOOK_SECONDS = 1.0  # how soon the death of another worker of this host is noticed


FORK_SECONDS = 5.0  # a fork waits for a turn of the janitor so long: Redis may be away for days

_turn = threading.RLock()
"""Held while the janitor acts, and while a process is forked: a fork copies every lock that the
janitor's thread holds, and no thread of the child would ever release it."""

_waited: list[bool] = []


def _before_fork() -> None:
    _waited.append(_turn.acquire(timeout=FORK_SECONDS))


def _after_fork() -> None:
    if _waited.pop():
        _turn.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


class Janitor(threading.Thread):
    """Reconciles twice per `BACKFILL_RECONCILE_SECONDS`, and keeps its worker registered.

    Puts the messages of workers that died on this host back, and ends the scripts that they left:
    of those before it, and of those that die beside it. Ends its own pool processes that hang.
    """

    def __init__(self, context: Context, worker: str, slots: int, delivery: Delivery) -> None:
        super().__init__(name="janitor", daemon=True)
        self._process_context = context
        self._worker, self._slots = worker, slots
        self._delivery = delivery
        self._takes = list(app.amqp.queues.consume_from)
        # Of one that was given its queues by `-Q`, a file that changes adds none.
        self._takes_all = {queue.name for queue in app.conf.task_queues} <= {*self._takes}
        self._neighbours = Neighbours(context.redis)
        self._hangs = Hangs(context, worker)
        self._ended = threading.Event()

    def run(self) -> None:
        """Reconcile and renew the registration, until `stop`; what fails is done anew in turn."""
        pause = self._process_context.settings.reconcile_seconds / 2
        self._quietly(partial(self._sign_on, pause))
        self._quietly(self._restore)
        next_turn = time.monotonic() + pause
        while not self._ended.wait(min(LOOK_SECONDS, pause)):
            self._quietly(self._hangs.look)
            self._quietly(self._look)
            if time.monotonic() >= next_turn:
                self._quietly(partial(self._sign_on, pause))
                self._quietly(partial(reconcile_quietly, self._process_context))
                self._quietly(partial(tidy_daily, self._process_context))
                next_turn = time.monotonic() + pause
        with suppress(redis.RedisError):
            sign_off(self._process_context.redis, self._worker, self._slots)
            self._neighbours.leave()

    @staticmethod
    def _quietly(act: Callable[[], object]) -> None:
        """Log an error and go on: without this thread, lost messages are never resent."""
        try:
            with _turn:
                act()
        except (OSError, FleetError) as error:
            log.warning("%s", error)
        except Exception:
            log.exception("a turn of the janitor failed")

    def _sign_on(self, pause: float) -> None:
        seconds = SILENT_TURNS_MAX * pause
        with suppress(redis.RedisError, OperationalError):  # at the next turn
            pipelines = self._process_context.every_pipeline()
            lanes.turns.lead(short_queues(pipelines))
            self._take_up(queue_names(*pipelines))
            has = self._has(pipelines)
            sign_on(
                self._process_context.redis, self._worker, self._slots, seconds=seconds, has=has
            )
            self._neighbours.meet(seconds=seconds)

    def _look(self) -> None:
        """Requeue the messages of a worker of this host that has died."""
        with suppress(redis.RedisError):
            if self._neighbours.any_died():
                self._restore()

    def _restore(self) -> None:
        orphans.reap()
        with suppress(redis.RedisError):  # the visibility timeout requeues them later
            restore_held(self._process_context.redis)

    def _take_up(self, queues: list[str]) -> None:
        """Take steps from queues, too, that a pipeline file has had since this worker began."""
        new = [queue for queue in queues if queue not in self._takes]
        if not new or not self._takes_all:
            return
        self._delivery.look_at(lists_of(queues))
        for queue in new:
            app.control.add_consumer(queue, destination=[self._worker])
        self._takes += new

    def _has(self, pipelines: list[Pipeline]) -> Member:
        settings = self._process_context.settings
        files = pipeline_paths(settings.pipeline, settings.pipelines)
        return Member(
            host=socket.gethostname(),
            files=tuple(files),
            made=tuple(pipeline_version(pipeline) for pipeline in pipelines),
            warehouse=warehouse_name(settings.warehouse),
            warehouse_id=identity_of(settings.warehouse),
            queues=tuple(self._takes),
        )

    def stop(self) -> None:
        """End the thread now, and deregister the worker."""
        self._ended.set()


_threads: list[Janitor | Delivery] = []


@signals.worker_process_init.connect
def _die_with_worker(**ignored: Any) -> None:
    """Make pool processes die with their worker: an orphaned one would go on writing."""
    prepare = die_with_parent(os.getppid())
    if prepare is not None:
        prepare()


@signals.worker_process_init.connect
def _give_signs(**ignored: Any) -> None:
    pulse.begin(getattr(current_process(), "index", -1))


@signals.worker_init.connect
def _put_aside(**ignored: Any) -> None:
    """Before the queues are declared: a key of another type in the place of one would end the
    worker then, and every one that is started after it."""
    with suppress(redis.RedisError):  # Celery waits for a Redis that is away, and says so
        lists = lists_of(queue.name for queue in app.conf.task_queues)
        put_aside(connect(load_settings(), patient=False), lists)


@signals.worker_ready.connect
def _start(sender: Any, **ignored: Any) -> None:
    context = context_here()
    with suppress(redis.RedisError):
        for detail, advice in forgetful(context.redis):
            log.warning("Redis: %s. %s.", detail, advice)
    slots = int(getattr(sender.controller, "concurrency", None) or 1)
    delivery = Delivery(context.redis, lists_of(queue_names(*context.every_pipeline())))
    _threads[:] = [Janitor(context, str(sender.hostname), slots, delivery), delivery]
    for thread in _threads:
        thread.start()


@signals.worker_shutting_down.connect
def _stop(**ignored: Any) -> None:
    for thread in _threads:
        thread.stop()
