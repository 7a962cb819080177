"""What short commands cost: CPU time of a process from its start to its end."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

PLANNER = str(Path(sys.executable).with_name("planner"))
ROUNDS = 5


def cpu_of(command: Sequence[str], environment: Mapping[str, str]) -> float:
    """Milliseconds, the median of some rounds."""
    return statistics.median(_once(command, environment) for _ in range(ROUNDS))


def _once(command: Sequence[str], environment: Mapping[str, str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=environment, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3
