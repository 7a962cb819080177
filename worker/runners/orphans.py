"""Ends every process that a script left behind, whoever its parent is now.

A script is started with a mark in its environment, which all its descendants inherit, also those
that left its process group: the worker that runs it, and a number. Whatever bears the mark of a
worker that is gone is an orphan, and may be killed by anybody at any time. The next step on this
host does so before it starts. Where there is no `/proc`, the process group has to do.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from worker.processes.identity import is_dead, owner

VARIABLE = "BACKFILL_SCRIPT"
LOOK_SECONDS = 0.02  # between two looks at what is still there
KILL_SECONDS = 10.0  # what survives SIGKILL so long waits for the kernel, and cannot write

PROC = Path("/proc")


def new_mark() -> str:
    """A mark of this process's."""
    return f"{owner()}|{uuid.uuid4().hex}"


def end(mark: str, group: int, *, grace_seconds: float) -> None:
    """End what bears a mark, and its process group: TERM, then KILL. Returns when all is dead."""
    if grace_seconds and _bearers(mark.__eq__):
        _signal_group(group, signal.SIGTERM)
        deadline = time.monotonic() + grace_seconds
        while time.monotonic() < deadline and _bearers(mark.__eq__):
            time.sleep(LOOK_SECONDS)
    _signal_group(group, signal.SIGKILL)
    _kill(mark.__eq__)


def reap() -> None:
    """Kill what workers of this host left behind when they died."""
    _kill(lambda mark: is_dead(mark.rpartition("|")[0]))


def _kill(wanted: Callable[[str], bool]) -> None:
    """Kill until none is left: between a look and a signal, one may have made another."""
    deadline = time.monotonic() + KILL_SECONDS
    while (pids := _bearers(wanted)) and time.monotonic() < deadline:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(LOOK_SECONDS)


def _bearers(wanted: Callable[[str], bool]) -> list[int]:
    """Processes that run with a mark that is wanted. Those that have ended show none."""
    prefix = f"{VARIABLE}=".encode()
    found = []
    for path in PROC.glob("[0-9]*"):
        try:
            environment = (path / "environ").read_bytes()
        except OSError:
            continue  # gone, or another user's
        for entry in environment.split(b"\0"):
            if entry.startswith(prefix) and wanted(os.fsdecode(entry[len(prefix) :])):
                found.append(int(path.name))
                break
    return found


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
