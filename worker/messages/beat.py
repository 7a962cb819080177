"""A worker's own loop gives its sign of life (`worker.processes.alive`), connected or not.

Depends on private parts, as `worker.messages.transport` does: while Celery waits for Redis its
timers stand still, and it asks every second whether it is to stop. There it is alive as well.
"""

from __future__ import annotations

from typing import Any, ClassVar

import celery.worker.consumer.consumer as celery_consumer
from celery import bootsteps, signals

from worker.processes.alive import BEAT_SECONDS, beat

_stock_maybe_shutdown = celery_consumer.maybe_shutdown


class Beat(bootsteps.StartStopStep):  # type: ignore[misc]
    """Gives the sign every few seconds, while the worker is connected."""

    requires: ClassVar[set[str]] = {"celery.worker.consumer.connection:Connection"}
    path = ""
    timer: Any = None

    def start(self, consumer: Any) -> None:
        """Begin."""
        self.timer = consumer.timer.call_repeatedly(BEAT_SECONDS, self.beat, (), priority=10)

    def beat(self) -> None:
        """Give it, unless the worker is stopping."""
        if self.path:
            beat(self.path)

    def stop(self, consumer: Any) -> None:
        """End: what goes on waiting for Redis gives the sign itself."""
        if self.timer:
            self.timer.cancel()
            self.timer = None


def install(app: Any, path: str, *, stop_seconds: float) -> None:
    """Let the workers of this process' app give their sign in a file.

    One that is told to stop may take `stop_seconds` to end its steps, after its loop has ended.
    """

    def maybe_shutdown() -> None:
        if Beat.path:
            beat(path)
        _stock_maybe_shutdown()

    def stopping(**ignored: Any) -> None:
        beat(path, ahead=stop_seconds)
        Beat.path = ""

    signals.worker_shutting_down.connect(stopping, weak=False)
    Beat.path = path
    celery_consumer.maybe_shutdown = maybe_shutdown
    app.steps["consumer"].add(Beat)
