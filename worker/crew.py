"""A crew of worker processes on this machine, each a Celery worker with one slot.

One slot each: a worker that dies takes one step with it, and `--workers N` means N steps at
once. Output goes to `HOME/logs/worker-N.log`. A worker that dies is started again.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO

from planner.settings import Settings
from worker.children import die_with_parent

RESTART_SECONDS = 1.0  # pause before a dead worker is started again


@dataclass(kw_only=True)
class Worker:
    """One worker process, and what it is started with."""

    number: int
    settings: Settings
    environment: Mapping[str, str]
    queues: str | None = None
    process: subprocess.Popen[bytes] | None = None
    restarts: int = 0
    _log: BinaryIO | None = field(default=None, repr=False)

    def start(self) -> None:
        path = self.settings.folder("logs") / f"worker-{self.number}.log"
        self._log = path.open("ab")
        command = [sys.executable, "-m", "celery", "-A", "worker.app", "worker"]
        command += ["--hostname", f"worker-{self.number}@%h", "--concurrency", "1"]
        command += ["--loglevel", "INFO", "--without-mingle", "--without-gossip"]
        if self.queues:
            command += ["-Q", self.queues]
        self.process = subprocess.Popen(
            command,
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us: workers are asked to stop in turn
            preexec_fn=die_with_parent(),
        )

    def restart_if_dead(self) -> bool:
        """Start it again when it died; whether it had."""
        if self.process is not None and self.process.poll() is None:
            return False
        self.restarts += 1
        self._close()
        time.sleep(RESTART_SECONDS)
        self.start()
        return True

    def ask_to_stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGTERM)

    def wait(self, deadline: float) -> None:
        """Wait until it has stopped; at the deadline, kill it and all it started."""
        if self.process is None:
            return
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(max(0.1, deadline - time.monotonic()))
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self._close()

    def _close(self) -> None:
        if self._log is not None:
            self._log.close()


@contextmanager
def crew(
    settings: Settings,
    *,
    workers: int,
    environment: Mapping[str, str] | None = None,
    queues: str | None = None,
) -> Iterator[list[Worker]]:
    """Run some workers while the block runs; they hand back their steps when it ends."""
    hands = [
        Worker(number=n + 1, settings=settings, environment=environment or {}, queues=queues)
        for n in range(workers)
    ]
    try:
        for worker in hands:
            worker.start()
        yield hands
    finally:
        for worker in hands:
            worker.ask_to_stop()
        # The step's grace, then its script's, then Celery's own way out.
        deadline = time.monotonic() + 2 * settings.grace_seconds + 10
        for worker in hands:
            worker.wait(deadline)
