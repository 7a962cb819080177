"""Leases: who may write a phase and date now, and how many may do a thing at once.

A *resource* has a capacity. Everything that a step needs is taken in one atomic call: the lease on
each of its dates (capacity 1), its phase's slots, its service.

- *Heartbeat*: a holder renews its lease every quarter of the lease time, at most every second.
- *Lease expiry*: a holder that could not renew for 1.5 lease times treats its lease as lost, and
  stops writing; after 2 lease times others may take over. So the holder stops first, whichever of
  Redis, the network and the process stood still.
- *Takeover*: at once from a holder on this host whose process is gone, else after expiry.
- *Fencing*: the lease's token is the fencing token. The ledger takes a transition of a step only
  with the token of its latest attempt (`start.lua`, `transition.lua`).
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

import redis

from worker.ledger.awaited import wake_for_resources
from worker.ledger.connection import script
from worker.ledger.together import Together
from worker.processes.identity import is_dead, owner

PREFIX = "backfill:lease"
OWNERS, SUSPECTS = f"{PREFIX}:owners", f"{PREFIX}:suspects"

SILENT_LEASES_MAX = 1.5  # a holder silent for so many lease times stops; after 2 it is evicted
BEAT_MAX_SECONDS = 1.0  # between two heartbeats, however long the lease: each runs `on_beat` too

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # goes on while a machine sleeps


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A semaphore: at most `capacity` leases hold it at once."""

    name: str
    capacity: int = 1
    full: str = ""
    """What a step that cannot have it waits for, in words."""

    @property
    def key(self) -> str:
        """The sorted set of its holders."""
        return f"{PREFIX}:{self.name}"


class Lease:
    """A lease on some resources; `kept_alive` renews it by a heartbeat."""

    def __init__(
        self, client: redis.Redis, resources: Sequence[Resource], *, seconds: float
    ) -> None:
        self.token = uuid.uuid4().hex
        self.on_beat: Callable[[], None] = lambda: None
        """Called after every heartbeat, in its thread: the place to ask Redis for more."""
        self.is_released = False
        """Whether its resources were given back, alone or with what ended there."""
        self._client = client
        self._resources = resources
        self._seconds = seconds
        self._alive_until = 0.0
        self._evicted = threading.Event()

    @property
    def is_lost(self) -> bool:
        """Whether another holder may take over now, or soon: stop writing."""
        return self._evicted.is_set() or _now() > self._alive_until

    def acquire(self, *, instead_of: Collection[str] = ()) -> bool:
        """Take every resource, or none; whether they were taken.

        `instead_of` are tokens to take over from: of leases that were parked on purpose.
        """
        return self.acquire_then(lambda together: None, instead_of=instead_of) is not None

    def acquire_then(
        self, add: Callable[[Together], None], *, instead_of: Collection[str] = ()
    ) -> list[Any] | None:
        """Take every resource as `acquire` does, and send what `add` adds in the same round trip;
        the answers to that, or None when the resources were not taken.

        What is added is sent in any case, so it has to ask whether the lease is held: `OWNERS` has
        its token then.
        """
        gone = set(instead_of)
        while True:
            asked = _now()
            together = Together(self._client)
            together.script(
                "acquire",
                keys=[OWNERS, SUSPECTS, *(r.key for r in self._resources)],
                args=[
                    self.token,
                    self._seconds,
                    owner(),
                    len(self._resources),
                    *(r.capacity for r in self._resources),
                    *gone,
                ],
            )
            add(together)
            answer, *more = together.send()
            if answer[0] == 1:
                self._alive_until = asked + SILENT_LEASES_MAX * self._seconds
                self.is_released = False
                return more
            holders = dict(zip(answer[1::2], answer[2::2], strict=True))
            dead = {token for token, who in holders.items() if is_dead(who)} - gone
            if not dead:
                return None
            gone |= dead

    def full(self) -> Resource | None:
        """The resource that is full; None when all are free by now."""
        pipe = self._client.pipeline(transaction=False)
        for resource in self._resources:
            pipe.zcard(resource.key)
        held = zip(self._resources, pipe.execute(), strict=True)
        return next((r for r, holders in held if holders >= r.capacity), None)

    def beat(self, *, silent_seconds: float = 0.0) -> bool:
        """Renew the lease, or announce a silence; False when it is lost."""
        asked = _now()
        alive = script(self._client, "beat")(
            keys=[SUSPECTS, *(r.key for r in self._resources)], args=[self.token, silent_seconds]
        )
        if alive:
            self._alive_until = asked + silent_seconds + SILENT_LEASES_MAX * self._seconds
        else:
            self._evicted.set()
        return bool(alive)

    def release(self) -> None:
        """Give the resources back, unless they were."""
        if not self.is_released:
            self.release_with(Together(self._client))

    def release_with(self, together: Together) -> list[Any]:
        """Send what was added, and give the resources back in the same round trip; the answers."""
        keys = [OWNERS, SUSPECTS, *(r.key for r in self._resources)]
        together.script("release", keys=keys, args=[self.token])
        wake_for_resources(together, (r.key for r in self._resources))
        answers = together.send()
        self.is_released = True
        return answers

    @contextmanager
    def kept_alive(self) -> Iterator[None]:
        """Renew the lease from a thread while the block runs. The block's end releases nothing."""
        ended = threading.Event()
        here = copy_context()  # what its log lines are about
        thread = threading.Thread(
            target=here.run, args=(self._renew, ended), name="lease", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join(timeout=1)

    def _renew(self, ended: threading.Event) -> None:
        while not ended.wait(min(self._seconds / 4, BEAT_MAX_SECONDS)):
            try:
                if not self.beat():
                    return
                self.on_beat()
            except redis.RedisError:
                continue  # the client has retried for days; `is_lost` tells by the clock


def _now() -> float:
    """Seconds, by a clock that no clock correction moves."""
    return time.clock_gettime(_CLOCK)
