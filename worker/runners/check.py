"""Runs a script's `check`, by which `planner doctor` knows that it could run: not only that it is
there, but that its packages are.

It is run as a step is: in the same folder and environment, in its own process group, secrets
blacked out; and everything that it started is ended with it, or when its time is over.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from worker.processes import secrets
from worker.processes.children import start_process
from worker.processes.forms import blacken
from worker.runners import orphans
from worker.runners.job import Readiness
from worker.runners.output import captured

CHECK_SECONDS = 30.0  # importing a large library on a cold disk takes ten


def checked(command: Sequence[str], *, cwd: str | None, env: Mapping[str, str]) -> Readiness:
    """Run it to its end, or as long as it may: exit code 0 says that the script could run."""
    mark = orphans.new_mark()
    environment = {**os.environ, **env, orphans.VARIABLE: mark}
    hidden = secrets.known(environment)
    told = blacken(shlex.join(command), hidden)
    here = f"cd {shlex.quote(cwd)} && {told}" if cwd else told
    advice = f"mend what it says, where workers start: {blacken(here, hidden)}"
    code: int | None = None
    with (
        tempfile.TemporaryDirectory() as folder,
        captured(log=Path(folder, "log"), hidden=hidden) as output,
    ):
        try:
            process = start_process(command, stdout=output.pipe, environment=environment, cwd=cwd)
        except OSError as error:
            how = f"its check cannot be started: {error.strerror}"
            return Readiness(ok=False, detail=how, advice=advice)
        try:
            code = process.wait(CHECK_SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            orphans.end(mark, process.pid, grace_seconds=0.0)
            process.wait()
    if code == 0:
        return Readiness(ok=True, detail=f"is there, and its check ran: {told}")
    ended = f"does not end within {CHECK_SECONDS:g} s"
    how = ended if code is None else f"ended with exit code {code}"
    last = output.tail.splitlines()[-1]
    return Readiness(ok=False, detail=f"its check {how}: {last}", advice=advice)
