"""Delayed messages (a requeue after a pause) wait in Redis, by its clock, and not in a worker.

Stock Celery delivers a message with a countdown at once, and the worker that receives it holds it
until it is due, and longer while that worker is busy: a step that waited a second for its upstream
stood for an hour behind a script, while other workers were idle. The due time comes from the
sender's clock, and is kept by the receiver's. Here every worker moves messages that are due into
their queues, where any free worker takes them. Between two looks it sleeps in Redis, until the next
is due.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable

import redis

from worker.ledger.awaited import Awaited
from worker.ledger.connection import script
from worker.processes.secrets import redacted

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.1  # between two polls of one worker, at least
IDLE_SECONDS = 5.0  # between two polls where nothing is due; sockets time out after 10
SLEEP_LEAST = 0.01  # Redis before 7 takes less than a millisecond for 0, which is: without end
AT_ONCE = 100  # messages of one queue per look
WAKE = "backfill:later-wake"
"""A list with one entry when a message was delayed that is due before all others of its queue: one
worker takes it, and looks when the next is due. Should that worker die, another looks within
`IDLE_SECONDS`."""

GOES_FIRST = "goes_first"
"""The header of a message that enters its queue in front: there may be thousands that only come to
see whether it has ended."""


def waiting(queue: str) -> str:
    """The sorted set of a queue's delayed messages: message → when it is due."""
    return f"backfill:later:{queue}"


def put_off(
    client: redis.Redis,
    queue: str,
    message: str,
    seconds: float,
    awaited: Awaited | None = None,
) -> None:
    """Delay a message: it enters its queue after some seconds, or when what it waits for ends."""
    keys, args = [waiting(queue), queue, WAKE], [message, seconds]
    if awaited:
        keys += [awaited.key, awaited.waiters]
        args += [awaited.waits, awaited.field, awaited.capacity, awaited.value]
    script(client, "later")(keys=keys, args=args)


def wake(client: redis.Redis) -> None:
    """Let a worker look for due messages now."""
    pipe = client.pipeline()
    pipe.lpush(WAKE, 1)
    pipe.ltrim(WAKE, 0, 0)
    pipe.execute()


def deliver(client: redis.Redis, queues: Iterable[str]) -> float | None:
    """Move messages that are due into their queues; seconds until the next one is, None without.

    Safe from any number of workers at once.
    """
    keys = [key for queue in queues for key in (waiting(queue), queue)]
    seconds = script(client, "due")(keys=keys, args=[AT_ONCE, f'"{GOES_FIRST}"'])
    return float(seconds) if seconds else None


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
                self._await(deliver(self._client, self._queues))
                trouble = ""
            except Exception as error:  # retried at the next look, and logged once
                if str(error) != trouble:
                    trouble = str(error)
                    log.warning("delayed messages cannot be delivered: %s", redacted(trouble))

    def _await(self, seconds: float | None) -> None:
        """Wait until the next message is due, or one is delayed that is due earlier."""
        wait = IDLE_SECONDS if seconds is None else min(seconds - LOOK_SECONDS, IDLE_SECONDS)
        if wait < SLEEP_LEAST:
            return
        woken = self._client.blpop([WAKE], timeout=wait)
        if woken and self._ended.is_set():
            wake(self._client)  # another worker's: this one looks no more

    def look_at(self, queues: Iterable[str]) -> None:
        """Deliver what is due for these queues from now on."""
        self._queues = list(queues)

    def stop(self) -> None:
        """End the thread at its next look."""
        self._ended.set()
