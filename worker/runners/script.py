"""Runs a command: an argument list, in its own process group, its output in a log file.

The whole group is ended when the step must stop, and after the command itself has ended, so
that nothing goes on writing once the lease is given back. Should the worker be killed, the
kernel kills the command.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from planner.pipeline import ScriptRunner
from worker.children import die_with_parent
from worker.runners.environment import Unset, expand, fill
from worker.runners.job import Failed, Job, Outcome, Ran, Stopped

POLL_SECONDS = 0.1  # how soon the end of a command, or a reason to stop it, is noticed
TAIL_BYTES = 2000  # of a failed command's output, shown in its error


@dataclass(frozen=True)
class Script:
    """The runner of kind `script`."""

    spec: ScriptRunner

    def run(self, job: Job) -> Outcome:
        try:
            command = [expand(fill(part, job.dates)) for part in self.spec.command]
            cwd = expand(self.spec.cwd) if self.spec.cwd else None
            environment = {name: expand(value) for name, value in self.spec.env.items()}
        except Unset as error:
            return Failed(error=str(error), is_permanent=True)
        with job.log.open("ab") as log:
            log.write(f"$ {' '.join(command)}\n".encode())
            log.flush()
            start = log.tell()
            try:
                process = subprocess.Popen(
                    command,
                    cwd=cwd,
                    env={**os.environ, **environment},
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=die_with_parent(),
                )
            except OSError as error:
                return Failed(
                    error=f"{command[0]} cannot be started in {cwd or '.'}: {error.strerror}",
                    is_permanent=True,
                )
            stopped = _wait(process, job)
            _end_group(process, job.grace_seconds if stopped else 0.0)
        if stopped is not None:
            return stopped
        if process.returncode:
            return Failed(error=f"{_how(process.returncode)}: {_tail(job.log, start)}")
        return Ran()


def _wait(process: subprocess.Popen[bytes], job: Job) -> Stopped | Failed | None:
    """Wait for the command; why it was not waited for to the end, else None."""
    deadline = time.monotonic() + job.phase.timeout_seconds
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(POLL_SECONDS)
            return None
        why = job.stop()
        if why is not None:
            return Stopped(why=why)
        if time.monotonic() > deadline:
            return Failed(error=f"timed out after {job.phase.timeout_seconds:g} s")


def _end_group(process: subprocess.Popen[bytes], grace_seconds: float) -> None:
    """End whatever is left of the command's process group: TERM, then KILL."""
    if process.poll() is None and grace_seconds:
        _signal(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(grace_seconds)
    _signal(process.pid, signal.SIGKILL)
    process.wait()


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _how(code: int) -> str:
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"


def _tail(path: Path, start: int) -> str:
    """The last lines that were written to the log since `start`."""
    with path.open("rb") as log:
        return _last(log, start).decode("utf-8", "replace").strip() or "no output"


def _last(log: BinaryIO, start: int) -> bytes:
    end = log.seek(0, os.SEEK_END)
    log.seek(max(start, end - TAIL_BYTES))
    return log.read()
