"""Runs a command: an argument list, in its own process group, its output in a log file.

Every process that the command started is ended when the step must stop, and after the command
itself has ended, so that nothing goes on writing once the lease is given back. Should the worker
be killed, the kernel kills the command, and the next step on this host what is left of it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass

from planner.pipeline.runners import ScriptRunner
from worker.processes import secrets
from worker.processes.children import die_with_parent
from worker.runners import orphans
from worker.runners.environment import Unset, expand, fill
from worker.runners.job import (
    LEASE_LOST,
    Failed,
    Job,
    Outcome,
    Partway,
    Ran,
    Stopped,
    TooLarge,
)
from worker.runners.output import Output
from worker.runners.rules import rules_of, then

POLL_SECONDS = 0.1  # how soon the end of a command, or a reason to stop it, is noticed


@dataclass(frozen=True)
class Script:
    """The runner of kind `script`."""

    spec: ScriptRunner

    def run(self, job: Job) -> Outcome:
        try:
            command = [expand(fill(part, job.dates)) for part in self.spec.command]
            cwd = expand(self.spec.cwd) if self.spec.cwd else None
            own = {name: expand(value) for name, value in self.spec.env.items()}
        except Unset as error:
            return Failed(error=str(error), is_permanent=True)
        if self.spec.resume is not None:
            number = self._first_unfilled(job)
            if number is None:
                return Ran()
            if number > 1:
                command += [self.spec.resume.argument, str(number)]
        mark = orphans.new_mark()
        environment = {**os.environ, **own, orphans.VARIABLE: mark}
        rules = rules_of(self.spec.outcomes, resumes=self.spec.resume is not None)
        orphans.reap()
        with Output(log=job.log, rules=rules, hidden=secrets.known(environment)) as output:
            output.say(f"$ {' '.join(command)}")
            try:
                process = subprocess.Popen(
                    command,
                    cwd=cwd,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output.pipe,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    preexec_fn=die_with_parent(),
                )
            except OSError as error:
                return Failed(
                    error=f"{command[0]} cannot be started in {cwd or '.'}: {error.strerror}",
                    is_permanent=True,
                )
            ended, stopped = False, None
            try:
                ended, stopped = _wait(process, job)
            finally:
                # Somebody else may be at these dates: then there is no time for grace.
                is_urgent = ended or (stopped is not None and stopped.why == LEASE_LOST)
                orphans.end(
                    mark, process.pid, grace_seconds=0.0 if is_urgent else job.grace_seconds
                )
                process.wait()
        if stopped is not None:
            return stopped
        code = process.returncode if ended else None
        what = _how(code) if ended else f"timed out after {job.phase.timeout_seconds:g} s"
        resumes = self.spec.resume is not None
        told = f"{what}: {output.tail}"
        match then(rules, code=code, said=output.said, resumes=resumes):
            case None:
                return Ran()
            case "unchanged":
                return Ran(unchanged=True)
            case "split" if ended or len(job.dates) > 1:
                return TooLarge(error=told)
            case "resume" if resumes:
                return Partway(error=told)
            case decided:
                return Failed(error=told, is_permanent=decided == "fail")

    def _first_unfilled(self, job: Job) -> int | None:
        """The first processor, from 1, that has a table to fill; None when all are filled."""
        filled = job.filled()
        tables = self.spec.resume.tables if self.spec.resume else ()
        return next((n for n, of in enumerate(tables, 1) if not filled.issuperset(of)), None)


def _wait(process: subprocess.Popen[bytes], job: Job) -> tuple[bool, Stopped | None]:
    """Wait for the command: whether it has ended by itself, and why it has to stop."""
    deadline = time.monotonic() + job.phase.timeout_seconds
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(POLL_SECONDS)
            return True, None
        why = job.stop()
        if why is not None:
            return False, Stopped(why=why)
        if time.monotonic() > deadline:
            return False, None


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        try:
            return f"killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"killed by signal {-code}"
    return f"exit code {code}"
