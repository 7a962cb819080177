"""Faults on demand: what a test wants to go wrong on which date.

`SANDBOX_FAULTS` names a JSON file `{"analytics": {"2022-04-20": "crash"}}`. The key is a phase or
one of its tables. The fault is one of

    crash     the job ends there, with what it wrote before
    nothing   the date is left out, and the job says it succeeded
    hang      the job waits there until it is killed
"""

from __future__ import annotations

import json
import os
from datetime import date
from pathlib import Path
from threading import Event

VARIABLE = "SANDBOX_FAULTS"


class Crashed(Exception):
    """A job met a date on which it has to fail."""


def faults_of(*names: str) -> dict[date, str]:
    """Date → fault of the script or service with one of these names. Without a file, none."""
    path = os.environ.get(VARIABLE)
    if not path or not Path(path).is_file():
        return {}
    wanted = json.loads(Path(path).read_text(encoding="utf-8"))
    return {
        date.fromisoformat(day): fault
        for name in names
        for day, fault in wanted.get(name, {}).items()
    }


def suffer(fault: str, where: str, stop: Event) -> None:
    """Do what the fault says. `stop` ends a hang, for those who can be asked to stop.

    Raises `Crashed`.
    """
    if fault == "hang":
        stop.wait()
    if fault in ("crash", "hang"):
        raise Crashed(f"{where}: {fault}")
    if fault != "nothing":
        raise ValueError(f"{VARIABLE}: {fault!r} is not crash, nothing or hang")
