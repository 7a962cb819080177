"""A worker's sign of life: a file that it writes while its loop turns, and health checks read.

Asking a worker over Redis (`inspect ping`) starts Celery, which costs a second of CPU each time,
and calls a worker dead that waits for Redis. Looking at a file costs what starting Python does, so
this module imports nothing that takes longer.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress

VARIABLE = "BACKFILL_ALIVE_FILE"
BEAT_SECONDS = 5.0  # between two signs
UNHEALTHY_SECONDS = 60.0  # without a sign: a health check fails
END_SECONDS = 180.0  # without a sign: `--end` kills the worker
USAGE = "python -P -m worker alive [--end]"


def beat(path: str, *, ahead: float = 0.0) -> None:
    """Write down that this process is alive, and will be for so many seconds without another sign.
    A disk that refuses ends no worker."""
    written = f"{path}.{os.getpid()}"
    with suppress(OSError):
        with open(written, "w", encoding="ascii") as file:
            # Not the time of day, which is set now and then: all processes see the same clock.
            file.write(f"{os.getpid()} {time.monotonic() + ahead}")
        os.replace(written, path)


def check(arguments: list[str], *, ill: float = UNHEALTHY_SECONDS, end: float = END_SECONDS) -> int:
    """`alive`: exit code 0 when the worker of `BACKFILL_ALIVE_FILE` is alive, else 1, and why.

    With `--end` it kills a worker that has been silent for long, so that what supervises it starts
    it anew; its steps are redelivered, as those of any worker that dies.
    """
    path = os.environ.get(VARIABLE)
    if not path or arguments not in ([], ["--end"]):
        print(f"{USAGE}: of the worker whose {VARIABLE} is set", file=sys.stderr)
        return 2
    try:
        with open(path, encoding="ascii") as file:
            pid_text, at_text = file.read().split()
        pid, silent = int(pid_text), time.monotonic() - float(at_text)
    except (OSError, ValueError):
        print(f"no worker has written {path} yet")
        return 1
    if silent <= ill:
        return 0
    print(f"worker {pid} has been silent for {silent:.0f} s")
    if silent > end and arguments == ["--end"] and pid > 1:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            print(f"killed worker {pid}")
    return 1
