"""Events of tasks, which Flower shows: sent together a few times a second.

Celery collects the events of one turn of its loop. A step has three, each in a turn of its own, so
each was published by itself: a quarter of what a worker's main process did for a step.
"""

from __future__ import annotations

from typing import Any, ClassVar

from celery import bootsteps

EVENTS_SECONDS = 0.25  # batching delay of an event, at most: too short to be seen in Flower


class EventsTogether(bootsteps.StartStopStep):  # type: ignore[misc]
    """Sends the events of tasks that have come since the first of them, all in one message."""

    requires: ClassVar[set[str]] = {"celery.worker.consumer.events:Events"}

    def __init__(self, consumer: Any, **options: Any) -> None:
        self.is_due = False
        self.dispatcher: Any = None
        super().__init__(consumer, **options)

    def start(self, consumer: Any) -> None:
        """Take the sending over from the loop's turns, where there is a loop."""
        self.is_due, self.dispatcher = False, consumer.event_dispatcher
        if consumer.hub is not None:
            self.dispatcher.on_send_buffered = lambda: self._collect(consumer.hub)

    def stop(self, consumer: Any) -> None:
        """Send what has come. What Redis does not take is sent by the next dispatcher."""
        if self.dispatcher is not None:
            self.dispatcher.flush()

    def _collect(self, hub: Any) -> None:
        if not self.is_due:
            self.is_due = True
            hub.call_soon(hub.call_later, EVENTS_SECONDS, self._send)  # threads may be here

    def _send(self) -> None:
        self.is_due = False  # before: what comes from now on may be too late for this one
        self.dispatcher.flush()
