"""The janitor: a thread in every worker's main process that reconciles now and then.

It also keeps the worker on the roll that planners read. Beside it the postman delivers.
"""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import Any

import redis
from celery import signals

from worker.app import queue_names
from worker.ledger.slots import sign_off, sign_on
from worker.messages.later import Postman
from worker.processes.children import die_with_parent
from worker.reconciler import reconcile_quietly
from worker.step.context import Context, context_here

SILENT_TURNS_MAX = 3  # a worker that missed so many of its turns is off the roll


class Janitor(threading.Thread):
    """Reconciles twice in the time that a message may be missing."""

    def __init__(self, context: Context, worker: str, slots: int) -> None:
        super().__init__(name="janitor", daemon=True)
        self._fleet = context
        self._worker, self._slots = worker, slots
        self._ended = threading.Event()

    def run(self) -> None:
        pause = self._fleet.settings.reconcile_seconds / 2
        self._sign_on(pause)
        while not self._ended.wait(pause):
            self._sign_on(pause)
            reconcile_quietly(self._fleet)
        with suppress(redis.RedisError):
            sign_off(self._fleet.redis, self._worker, self._slots)

    def _sign_on(self, pause: float) -> None:
        with suppress(redis.RedisError):  # next time
            sign_on(self._fleet.redis, self._worker, self._slots, seconds=SILENT_TURNS_MAX * pause)

    def stop(self) -> None:
        self._ended.set()


_staff: list[Janitor | Postman] = []


@signals.worker_process_init.connect
def _die_with_worker(**ignored: Any) -> None:
    """A killed worker's pool process would go on with its step, and nobody could stop it."""
    prepare = die_with_parent(os.getppid())
    if prepare is not None:
        prepare()


@signals.worker_ready.connect
def _start(sender: Any, **ignored: Any) -> None:
    context = context_here()
    slots = int(getattr(sender.controller, "concurrency", None) or 1)
    _staff[:] = [
        Janitor(context, str(sender.hostname), slots),
        Postman(context.redis, queue_names(context.pipeline)),
    ]
    for each in _staff:
        each.start()


@signals.worker_shutting_down.connect
def _stop(**ignored: Any) -> None:
    for each in _staff:
        each.stop()
