"""Worker processes on this machine, each a Celery worker with one slot.

One slot each: a worker that dies interrupts one step, and `--workers N` means N steps at once.
Output goes to `HOME/logs/worker-N.log`. A worker that dies is restarted, with growing pauses.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from planner.settings import Settings
from worker.processes.children import Child, supervised

STOP_SECONDS = 10.0  # for Celery to exit, once its step has ended


@contextmanager
def run_workers(
    settings: Settings,
    *,
    workers: int,
    first: int = 1,
    environment: Mapping[str, str] | None = None,
    queues: str | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Iterator[list[Child]]:
    """Run some workers while the block runs; they requeue their steps when it ends.

    They are numbered from `first`: worker names are unique on a machine.
    """
    numbers = range(first, first + workers)
    processes = [
        worker_process(settings, n, environment=environment, queues=queues) for n in numbers
    ]
    with supervised(processes, say=say):
        yield processes


def worker_process(
    settings: Settings,
    number: int,
    *,
    environment: Mapping[str, str] | None = None,
    queues: str | None = None,
) -> Child:
    """One worker, to be started."""
    return Child(
        name=f"worker-{number}",
        command=_command(number, queues),
        log=settings.folder("logs") / f"worker-{number}.log",
        # The grace period of the step, then that of its script.
        stop_seconds=2 * settings.grace_seconds + STOP_SECONDS,
        environment=environment or {},
    )


def _command(number: int, queues: str | None) -> list[str]:
    command = [sys.executable, "-P", "-m", "worker", "worker"]
    command += ["--hostname", f"worker-{number}@%h", "--concurrency", "1"]
    command += ["--loglevel", "INFO", "--without-mingle", "--without-gossip"]
    return [*command, "-Q", queues] if queues else command
