"""The janitor: a thread in every worker's main process that reconciles now and then."""

from __future__ import annotations

import os
import threading
from typing import Any

from celery import signals

from worker.children import die_with_parent
from worker.fleet import Fleet, fleet_here
from worker.reconciler import reconcile_quietly


class Janitor(threading.Thread):
    """Reconciles twice in the time that a message may be missing."""

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(name="janitor", daemon=True)
        self._fleet = fleet
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(self._fleet.settings.reconcile_seconds / 2):
            reconcile_quietly(self._fleet)

    def stop(self) -> None:
        self._ended.set()


_janitor: Janitor | None = None


@signals.worker_process_init.connect
def _die_with_worker(**ignored: Any) -> None:
    """A killed worker's pool process would go on with its step, and nobody could stop it."""
    prepare = die_with_parent(os.getppid())
    if prepare is not None:
        prepare()


@signals.worker_ready.connect
def _start(**ignored: Any) -> None:
    global _janitor
    _janitor = Janitor(fleet_here())
    _janitor.start()


@signals.worker_shutting_down.connect
def _stop(**ignored: Any) -> None:
    if _janitor is not None:
        _janitor.stop()
