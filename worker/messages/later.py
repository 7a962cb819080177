"""Delayed messages (a requeue after a pause) wait in Redis, by its clock, and not in a worker.

Stock Celery delivers a message with a countdown at once, and the worker that receives it holds it
until it is due, and longer while that worker is busy: a step that waited a second for its upstream
stood for an hour behind a script, while other workers were idle. The due time comes from the
sender's clock, and is kept by the receiver's. Here every worker looks for messages that are due and
moves them into their queues, where any free worker takes them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable

import redis

from worker.ledger.connection import script
from worker.processes.secrets import redacted

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.1  # between two looks of one worker; a look takes Redis some 10 µs
AT_ONCE = 100  # messages of one queue per look


def waiting(queue: str) -> str:
    """The sorted set of a queue's delayed messages: message → when it is due."""
    return f"backfill:later:{queue}"


def put_off(client: redis.Redis, queue: str, message: str, seconds: float) -> None:
    """Delay a message: it enters its queue after some seconds."""
    script(client, "later")(keys=[waiting(queue)], args=[message, seconds])


def deliver(client: redis.Redis, queues: Iterable[str]) -> None:
    """Move messages that are due into their queues. Safe from any number of workers at once."""
    keys = [key for queue in queues for key in (waiting(queue), queue)]
    script(client, "due")(keys=keys, args=[AT_ONCE])


class Delivery(threading.Thread):
    """Delivers messages that are due, while its worker lives."""

    def __init__(self, client: redis.Redis, queues: Iterable[str]) -> None:
        super().__init__(name="delivery", daemon=True)
        self._client = client
        self._queues = list(queues)
        self._ended = threading.Event()

    def run(self) -> None:
        """Deliver, until `stop`."""
        trouble = ""
        while not self._ended.wait(LOOK_SECONDS):
            try:
                deliver(self._client, self._queues)
                trouble = ""
            except Exception as error:  # retried at the next look, and logged once
                if str(error) != trouble:
                    trouble = str(error)
                    log.warning("delayed messages cannot be delivered: %s", redacted(trouble))

    def stop(self) -> None:
        """End the thread at its next look."""
        self._ended.set()
