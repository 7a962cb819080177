"""Runs a command: an argument list, in its own process group, its output in a log file.

Every process that the command started is ended when the step must stop, and after the command
itself has ended, so that nothing goes on writing once the lease is released. When the worker is
killed, the kernel kills the command, and the next step on this host kills the orphans it left.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from planner import clock
from planner.files import closed
from planner.pipeline.runners import Rule, ScriptRunner
from planner.settings import LABELS
from sql.labels import labels_text
from sql.tracing import span, traceparent
from worker.processes import secrets
from worker.processes.children import start_process
from worker.runners import orphans
from worker.runners.check import checked
from worker.runners.environment import Unset, expand, fill
from worker.runners.job import (
    LEASE_LOST,
    THERE,
    Failed,
    Job,
    Outcome,
    Partway,
    Ran,
    Readiness,
    Stopped,
    TooLarge,
)
from worker.runners.output import Output, captured
from worker.runners.rules import rules_of, then

POLL_SECONDS = 0.1  # how soon the end of a command, or a reason to stop it, is noticed
SCRIPT_SUFFIXES = frozenset({".py", ".sh", ".bash", ".pl", ".rb", ".js", ".jar"})


@dataclass(frozen=True)
class Script:
    """The runner of kind `script`."""

    spec: ScriptRunner

    def run(self, job: Job) -> Outcome:
        try:
            values = self.spec.chosen(job.values)
            command = [expand(fill(part, job.dates, values)) for part in self.spec.command]
            cwd, own = self._place(job.dates, values)
        except (Unset, ValueError) as error:
            return Failed(error=str(error), is_permanent=True)
        if self.spec.resume is not None:
            number = self._first_unfilled(job)
            if number is None:
                return Ran()
            if number > 1:
                command += [self.spec.resume.argument, str(number)]
        mark = orphans.new_mark()
        orphans.reap()
        with span("script", {"backfill.command": self.spec.command[0]}):
            ours = {orphans.VARIABLE: mark, LABELS: labels_text(job.labels)}
            return self._started(job, command, cwd, {**os.environ, **own, **ours})

    def _place(
        self, dates: tuple[date, ...], values: Mapping[str, str]
    ) -> tuple[str | None, dict[str, str]]:
        """The folder that it runs in, and what is added to the environment. Raises `Unset`."""
        own = {
            name: expand(fill(value, dates, values) if values else value)
            for name, value in self.spec.env.items()
        }
        return expand(self.spec.cwd) if self.spec.cwd else None, own

    def _started(
        self, job: Job, command: Sequence[str], cwd: str | None, environment: dict[str, str]
    ) -> Outcome:
        """Start the command, and wait for its end; what that means."""
        mark = environment[orphans.VARIABLE]
        if parent := traceparent():
            environment["TRACEPARENT"] = parent
        hidden = secrets.known(environment)
        with captured(log=job.log, rules=self._rules, hidden=hidden) as output:
            output.say(f"$ {' '.join(command)}")
            try:
                process = start_process(
                    command, stdout=output.pipe, environment=environment, cwd=cwd
                )
            except OSError as error:
                return Failed(
                    error=f"{command[0]} cannot be started in {cwd or '.'}: {error.strerror}",
                    is_permanent=True,
                )
            stopped = _wait_and_end(process, job, mark)
        if isinstance(stopped, Stopped):
            return stopped
        return self._outcome(job, process.returncode if stopped is None else None, output)

    def _outcome(self, job: Job, code: int | None, output: Output) -> Outcome:
        """What the end means, by the rules; no `code`: it timed out."""
        timed_out = f"timed out after {job.phase.timeout_seconds:g} s"
        told = f"{timed_out if code is None else _how(code)}: {output.tail}"
        resumes = self.spec.resume is not None
        match then(self._rules, code=code, said=output.said, resumes=resumes):
            case None:
                return Ran()
            case "unchanged":
                return Ran(unchanged=True)
            case "split" if code is not None or len(job.dates) > 1:
                return TooLarge(error=told)
            case "resume" if resumes:
                return Partway(error=told)
            case decided:
                return Failed(error=told, is_permanent=decided == "fail")

    @property
    def _rules(self) -> tuple[Rule, ...]:
        return rules_of(self.spec.outcomes, resumes=self.spec.resume is not None)

    def absence(self, beside: Path) -> str | None:
        folder = Path(expand(self.spec.cwd)).expanduser() if self.spec.cwd else Path()
        if why := closed(folder):
            return why
        if not folder.is_dir():
            return f"there is no folder {folder}"
        program, *arguments = (expand(part) for part in self.spec.command)
        if "/" in program:
            if not (folder / program).is_file():
                return f"there is no {program} in {folder}"
            if not os.access(folder / program, os.X_OK):
                return f"{program} in {folder} is not executable: chmod +x {folder / program}"
        elif shutil.which(program) is None:
            return f"there is no {program} on the PATH"
        script = next(iter(arguments), "")
        is_script = not script.startswith("-") and Path(script).suffix in SCRIPT_SUFFIXES
        if is_script and not (folder / script).is_file():
            return f"there is no {script} in {folder}"
        return None

    def readiness(self) -> Readiness:
        for text in (*self.spec.command, self.spec.cwd or "", *self.spec.env.values()):
            expand(text)
        if not self.spec.check:
            return replace(THERE, detail="is there; it has no `check`, so nothing of it was run")
        cwd, own = self._place((clock.now().date(),), self.spec.chosen({}))
        return checked([expand(word) for word in self.spec.check], cwd=cwd, env=own)

    def _first_unfilled(self, job: Job) -> int | None:
        """The first processor, from 1, that has a table to fill; None when all are filled."""
        filled = job.filled()
        tables = self.spec.resume.tables if self.spec.resume else ()
        return next((n for n, of in enumerate(tables, 1) if not filled.issuperset(of)), None)


@dataclass(frozen=True)
class TimedOut:
    """The command ran for longer than its phase may."""


def _wait_and_end(
    process: subprocess.Popen[bytes], job: Job, mark: str
) -> Stopped | TimedOut | None:
    """Wait for the command, and end all that it started; None when it ended by itself."""
    is_urgent = False
    try:
        stopped = _wait(process, job)
        # After the lease expired another worker may take the dates over: no time for grace.
        is_urgent = stopped is None or (isinstance(stopped, Stopped) and stopped.why == LEASE_LOST)
    finally:
        orphans.end(mark, process.pid, grace_seconds=0.0 if is_urgent else job.grace_seconds)
        process.wait()
    return stopped


def _wait(process: subprocess.Popen[bytes], job: Job) -> Stopped | TimedOut | None:
    """Wait for the command: why it has to stop; None when it has ended by itself."""
    deadline = time.monotonic() + job.phase.timeout_seconds
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(POLL_SECONDS)
            return None
        why = job.stop()
        if why is not None:
            return Stopped(why=why)
        if time.monotonic() > deadline:
            return TimedOut()


def _how(code: int) -> str:
    if code < 0:
        try:
            return f"killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"killed by signal {-code}"
    return f"exit code {code}"
