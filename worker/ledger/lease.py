"""Leases: who may write a phase and date now, and how many may do a thing at once.

A *resource* has a capacity. Everything a step needs is taken in one atomic call: the lease on
each of its dates (capacity 1), its phase's slots, its service. The holder says that it is alive
every quarter of the lease, or every second; one that was silent twice the lease is evicted. It
knows so before that happens: who could not say that it is alive for one and a half times the
lease counts itself as evicted, whether Redis, the network or the process itself stood still. A
holder on this host whose process is gone is evicted at once.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from types import TracebackType

import redis

from worker.ledger.connection import script
from worker.processes.identity import is_dead, owner

PREFIX = "backfill:lease"
OWNERS, SUSPECTS, FENCE = f"{PREFIX}:owners", f"{PREFIX}:suspects", f"{PREFIX}:fence"

SILENT_LEASES_MAX = 1.5  # a holder silent this many leases stops; at two it is evicted
BEAT_MAX_SECONDS = 1.0  # between two heartbeats, however long the lease: each also looks around

_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # goes on while a machine sleeps


@dataclass(frozen=True, kw_only=True)
class Resource:
    """Something that only so many may hold at once."""

    name: str
    capacity: int = 1
    full: str = ""
    """What to say of whoever waits for it."""

    @property
    def key(self) -> str:
        return f"{PREFIX}:{self.name}"


@dataclass(frozen=True, kw_only=True)
class Busy:
    """Who is in the way."""

    owners: tuple[str, ...]


class Lease:
    """A hold on some resources, kept alive by a thread while in a `with` block."""

    def __init__(
        self, client: redis.Redis, resources: Sequence[Resource], *, seconds: float
    ) -> None:
        self.token = uuid.uuid4().hex
        self.fence = 0
        """Grows with every lease given out, anywhere."""
        self.on_beat: Callable[[], None] = lambda: None
        """Called after every heartbeat, in its thread: the place to ask Redis for more."""
        self._client = client
        self._resources = resources
        self._seconds = seconds
        self._alive_until = 0.0
        self._evicted = threading.Event()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_lost(self) -> bool:
        """Whether somebody else may hold the resources now, or soon: stop writing."""
        return self._evicted.is_set() or _now() > self._alive_until

    def acquire(self, *, instead_of: Collection[str] = ()) -> Busy | None:
        """Take every resource, or none; None when taken.

        `instead_of` are tokens that the caller knows to be nobody's: parked on purpose.
        """
        gone = set(instead_of)
        while True:
            asked = _now()
            answer = script(self._client, "acquire")(
                keys=[OWNERS, SUSPECTS, FENCE, *(r.key for r in self._resources)],
                args=[
                    self.token,
                    self._seconds,
                    owner(),
                    len(self._resources),
                    *(r.capacity for r in self._resources),
                    *gone,
                ],
            )
            if answer[0] == 1:
                self.fence = int(answer[1])
                self._alive_until = asked + SILENT_LEASES_MAX * self._seconds
                return None
            holders = dict(zip(answer[1::2], answer[2::2], strict=True))
            dead = {token for token, who in holders.items() if is_dead(who)} - gone
            if not dead:
                return Busy(owners=tuple(holders.values()))
            gone |= dead

    def full(self) -> str:
        """What the lease could not be had for, in words; empty when it is free by now."""
        pipe = self._client.pipeline(transaction=False)
        for resource in self._resources:
            pipe.zcard(resource.key)
        held = zip(self._resources, pipe.execute(), strict=True)
        return next((r.full for r, holders in held if holders >= r.capacity), "")

    def beat(self, *, silent_seconds: float = 0.0) -> bool:
        """Say that we are alive, or will be silent on purpose; False when the lease is lost."""
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
        """Give the resources back."""
        script(self._client, "release")(
            keys=[OWNERS, SUSPECTS, *(r.key for r in self._resources)], args=[self.token]
        )

    def __enter__(self) -> Lease:
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout=1)

    def _keep(self) -> None:
        while not self._ended.wait(min(self._seconds / 4, BEAT_MAX_SECONDS)):
            try:
                if not self.beat():
                    return
                self.on_beat()
            except redis.RedisError:
                continue  # the client has tried for long; the next beat tells


def _now() -> float:
    """Seconds, of a clock that nobody sets."""
    return time.clock_gettime(_CLOCK)
