"""A worker's own loop gives its sign of life (`worker.processes.alive`), connected or not.

Depends on private parts, as `worker.messages.transport` does: while Celery waits for Redis its
timers stand still, and it asks every second whether it is to stop. There it is alive as well.
"""

from __future__ import annotations

from typing import Any, ClassVar

import celery.worker.consumer.consumer as celery_consumer
from celery import bootsteps

from worker.processes.alive import BEAT_SECONDS, beat

_stock_maybe_shutdown = celery_consumer.maybe_shutdown


class Beat(bootsteps.StartStopStep):  # type: ignore[misc]
    """Gives the sign every few seconds, while the worker is connected."""

    requires: ClassVar[set[str]] = {"celery.worker.consumer.connection:Connection"}
    path = ""
    timer: Any = None

    def start(self, consumer: Any) -> None:
        """Begin."""
        self.timer = consumer.timer.call_repeatedly(BEAT_SECONDS, beat, (self.path,), priority=10)

    def stop(self, consumer: Any) -> None:
        """End: what goes on waiting for Redis gives the sign itself."""
        if self.timer:
            self.timer.cancel()
            self.timer = None


def install(app: Any, path: str) -> None:
    """Let the workers of this process' app give their sign in a file."""

    def maybe_shutdown() -> None:
        beat(path)
        _stock_maybe_shutdown()

    Beat.path = path
    celery_consumer.maybe_shutdown = maybe_shutdown
    app.steps["consumer"].add(Beat)
