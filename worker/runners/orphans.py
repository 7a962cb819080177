"""Ends every process that a script left behind, also when its parent is another by now.

A script is started with a mark in its environment, which all its descendants inherit, also those
that left its process group: the worker that runs it, and a number. A process that bears the mark of
a dead worker is an orphan, and may be killed at any time, by any worker. The next step on this host
does so before it starts. Where there is no `/proc`, only the process group is ended.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from planner.settings import SCRIPT
from worker.processes.children import signal_group
from worker.processes.identity import is_dead, owner

VARIABLE = SCRIPT
LOOK_SECONDS = 0.02  # between two looks at what is still there
READ_BYTES = 65_536  # at once
KILL_SECONDS = 10.0  # what survives SIGKILL for longer hangs in the kernel, and cannot write

PROC = Path("/proc")


def new_mark() -> str:
    """A new mark, which names this process."""
    return f"{owner()}|{uuid.uuid4().hex}"


def end(mark: str, group: int, *, grace_seconds: float) -> None:
    """End what bears a mark, and its process group: TERM, then KILL. Returns when all is dead."""
    if grace_seconds and _bearers(mark.__eq__):
        signal_group(group, signal.SIGTERM)
        deadline = time.monotonic() + grace_seconds
        while time.monotonic() < deadline and _bearers(mark.__eq__):
            time.sleep(LOOK_SECONDS)
    signal_group(group, signal.SIGKILL)
    _kill(mark.__eq__)


def reap() -> None:
    """Kill the orphans of dead workers of this host."""
    _kill(lambda mark: is_dead(mark.rpartition("|")[0]))


def _kill(wanted: Callable[[str], bool]) -> None:
    """Kill until none is left: between a look and a signal, one may have started another."""
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
    for name in os.listdir(PROC) if PROC.is_dir() else ():
        environment = _environment(name) if name.isdigit() else b""
        for entry in environment.split(b"\0") if prefix in environment else ():
            if entry.startswith(prefix) and wanted(os.fsdecode(entry[len(prefix) :])):
                found.append(int(name))
                break
    return found


def _environment(pid: str) -> bytes:
    """What a process was started with; empty where that cannot be seen.

    Read without the layers of `Path`: each step reads that of every process twice.
    """
    parts = []
    try:
        file = os.open(f"{PROC}/{pid}/environ", os.O_RDONLY)
    except OSError:
        return b""  # gone, or another user's
    try:
        while part := os.read(file, READ_BYTES):
            parts.append(part)
    except OSError:
        return b""
    finally:
        os.close(file)
    return b"".join(parts)
