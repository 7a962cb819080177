"""Messages that are to come back later wait in Redis, by its clock, and not in a worker.

Stock Celery sends them at once, and whoever receives one holds it until its time. Then it comes
after whatever that worker does by then: a step that waited a second for its upstream stood for
an hour behind a script, while other workers were idle. And its time is told by its sender's
clock and kept by its receiver's. Here every worker looks for those that are due, and puts them
into their queues, for whoever is free.
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
    """The sorted set in which a queue's messages wait: message → when it is due."""
    return f"backfill:later:{queue}"


def put_off(client: redis.Redis, queue: str, message: str, seconds: float) -> None:
    """Let a message come into its queue after some seconds."""
    script(client, "later")(keys=[waiting(queue)], args=[message, seconds])


def deliver(client: redis.Redis, queues: Iterable[str]) -> None:
    """Put what is due into its queue. Any number of workers may do so at once."""
    keys = [key for queue in queues for key in (waiting(queue), queue)]
    script(client, "due")(keys=keys, args=[AT_ONCE])


class Postman(threading.Thread):
    """Delivers what is due, while its worker lives."""

    def __init__(self, client: redis.Redis, queues: Iterable[str]) -> None:
        super().__init__(name="postman", daemon=True)
        self._client = client
        self._queues = list(queues)
        self._ended = threading.Event()

    def run(self) -> None:
        trouble = ""
        while not self._ended.wait(LOOK_SECONDS):
            try:
                deliver(self._client, self._queues)
                trouble = ""
            except Exception as error:  # there is another look, so it is said once
                if str(error) != trouble:
                    trouble = str(error)
                    log.warning("what waits cannot be delivered: %s", redacted(trouble))

    def stop(self) -> None:
        self._ended.set()
