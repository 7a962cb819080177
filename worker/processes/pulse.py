"""The pulse of pool processes: one that hangs is ended by its worker's main process.

A thread in each pool process gives a sign every second, in memory that it shares with the main
process. None comes while the process is stopped, while native code keeps the interpreter to itself,
and when what it does takes longer than that may ever take (`limited`): nothing else tells a call
that does not return from a long one.

A lease says as much of a step, and only to others. The pulse is there without a lease, too, such as
before one is taken; and while Redis is away, which is no reason to end a process.

SIGKILL keeps a process that hangs from writing once it goes on: it ends one that is stopped, and
one that hangs in the kernel before that runs any more of its code.
"""

from __future__ import annotations

import multiprocessing.sharedctypes
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from worker.processes.identity import born

PROCESSES = 1024  # of one worker that are watched
BEAT_SECONDS = 1.0  # between two signs
SILENT_SECONDS_MIN = 10.0  # a busy machine may keep a process waiting for that long
LOOK_SECONDS_MAX = 2.0  # of silence that one look counts: the main process may have been frozen too
TIMEOUTS = 2.0  # what ends by itself at one has ended long before
TASK_SECONDS = 6 * 3600.0  # for what nothing else limits, such as the final count

# Filled by pool processes and read by the main one; a place belongs to one process at a time.
_pids: Any = multiprocessing.sharedctypes.RawArray("d", PROCESSES)
_borns: Any = multiprocessing.sharedctypes.RawArray("d", PROCESSES)
_beats: Any = multiprocessing.sharedctypes.RawArray("d", PROCESSES)

ended: set[int] = set()
"""Of the main process: pool processes that it has ended, or tried to, since they hang."""


class _Limit:
    """Until when this process gives signs."""

    until = float("inf")


def begin(place: int, *, every: float = BEAT_SECONDS) -> None:
    """Give signs from now on, at a place that no other process of the worker has."""
    if 0 <= place < PROCESSES:
        _Limit.until = float("inf")
        _borns[place], _pids[place] = float(born(os.getpid()) or 0), os.getpid()
        threading.Thread(target=_beat, args=(place, every), name="pulse", daemon=True).start()


def _beat(place: int, every: float) -> None:
    while True:
        if time.monotonic() < _Limit.until:
            _beats[place] += 1
        time.sleep(every)


@contextmanager
def limited(timeout_seconds: float) -> Iterator[None]:
    """While the block runs, which has this time-out of its own. What is there when `TIMEOUTS` of it
    are over does not return any more."""
    allow(TIMEOUTS * timeout_seconds)
    try:
        yield
    finally:
        allow()


def allow(seconds: float = 0.0) -> None:
    """What begins now may take so long, or `TASK_SECONDS`; then the process hangs."""
    _Limit.until = time.monotonic() + max(seconds, TASK_SECONDS)


def allow_all() -> None:
    """The process waits for a task: for as long as there is none."""
    _Limit.until = float("inf")


class Watch:
    """The main process's look at the pulse of its pool processes."""

    def __init__(self, *, seconds: float) -> None:
        self.seconds = max(seconds, SILENT_SECONDS_MIN)
        """Without a sign for so long, a process is ended."""
        self._seen: dict[int, tuple[float, float, float]] = {}
        self._looked = 0.0

    def look(self, at: float | None = None) -> dict[int, float]:
        """Look, at a moment of a clock that only goes on, and end what has been silent for too
        long; the processes that hang → their silence in seconds, from half of that on."""
        now = time.monotonic() if at is None else at
        passed, self._looked = min(now - self._looked, LOOK_SECONDS_MAX), now
        silences = {pid: self._silence(n, pid, passed) for n, pid in self._processes()}
        hung = {pid: silent for pid, silent in silences.items() if silent >= self.seconds / 2}
        ended.intersection_update(silences)
        for pid, silent in hung.items():
            if silent >= self.seconds:
                ended.add(pid)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        return hung

    def _silence(self, place: int, pid: int, passed: float) -> float:
        """How long a process has given no sign, by the looks of this one."""
        beat = _beats[place]
        known, before, silent = self._seen.get(place, (0, 0.0, 0.0))
        silent = silent + passed if (known, before) == (pid, beat) else 0.0
        self._seen[place] = pid, beat, silent
        return silent

    def _processes(self) -> list[tuple[int, int]]:
        """Place and number of each that is there. One that has died has left both behind."""
        found = [(place, int(pid)) for place, pid in enumerate(_pids) if pid]
        return [(place, pid) for place, pid in found if float(born(pid) or 0) == _borns[place]]
