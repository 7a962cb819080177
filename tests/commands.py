"""`planner` as a user types it: in a process of its own, which need not import everything anew.

Importing is most of what a command costs. Python's fork server imports it once, before anything is
opened, and every command is a fork of it: with its own environment, folder, output and exit code.
A command that finds a PYTHONPATH is started by an interpreter of its own, which reads what stands
there; so are those of `tests/acceptance/test_demo.py`.

A fork still opens, translates and copies what this process has, which is half of what a look at a
small warehouse costs: `here` runs a command in this process.
"""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from pkgutil import iter_modules
from typing import Any
from unittest.mock import patch

from planner import cli, clock, commands
from planner.plan.states import RunState
from worker.context import Context
from worker.ledger import connection

COMMAND_SECONDS = 240.0
IMPORTED = [
    "planner.cli",
    *(f"planner.commands.{each.name}" for each in iter_modules(commands.__path__)),
    "planner.gaps.survey",
    "worker.run.control",
    "worker.status.doctor",
    "worker.run.enqueue",
    "worker.step.visit",
    "celery.app.amqp",
    "celery.app.control",
    "celery.app.events",
    "celery.app.log",
    "celery.backends.redis",
    "celery.concurrency.prefork",
    "celery.fixups.django",
    "celery.loaders.app",
    "celery.worker.consumer",
    "kombu.transport.redis",
    "sql.bigquery",
    "sql.local",
    "sqlglot.dialects.bigquery",
    "sqlglot.dialects.duckdb",
    "sqlglot.generators.bigquery",
    "sqlglot.generators.duckdb",
    "sqlglot.optimizer.annotate_types",
    "sqlglot.parsers.bigquery",
    "sqlglot.parsers.duckdb",
    "deltalake",
    "duckdb",
    "pyarrow.dataset",
    "google.cloud.bigquery",
    "rich._emoji_codes",
    "rich.markdown",
    "rich.status",
    "typer._adapters",
    "tzdata",
    "pytest",  # the main module of `pytest -n 0`, which each of its forks would import anew
    "tests.warm",
]
"""Not `worker.app`: it reads the settings when it is imported."""

_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(IMPORTED)


@dataclass(frozen=True, kw_only=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def planner(
    *arguments: str,
    environment: Mapping[str, str],
    cwd: Path,
    seconds: float = COMMAND_SECONDS,
    before: Callable[[], None] | None = None,
) -> Done:
    """Run a command to its end. `environment` is all that it sees of one.

    `before`, a function of a module, is called in its process first, and may break things there.
    """
    if "PYTHONPATH" in environment and before is None:
        done = _started(arguments, dict(environment), cwd, seconds)
    else:
        done = _forked(arguments, dict(environment), cwd, seconds, before)
    assert "Traceback" not in done.err, done.err
    return done


def python(
    code: str,
    *arguments: str,
    environment: Mapping[str, str],
    cwd: Path,
    seconds: float = COMMAND_SECONDS,
) -> Done:
    """Run code to its end, as `python -c` does; what commands import, its process has imported."""
    return _forked(arguments, dict(environment), cwd, seconds, partial(_run, code))


def _run(code: str) -> None:
    """In the fork: instead of a command."""
    sys.argv[0] = "-c"
    exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
    raise SystemExit(0)


def here(
    *arguments: str,
    environment: Mapping[str, str],
    cwd: Path,
    before: Callable[[], None] | None = None,
) -> Done:
    """Run a command in this process, which sends no message: the app would have the broker that was
    set when `worker.app` was imported. For tests that visit the steps of their runs by hand."""
    out, err = io.StringIO(), io.StringIO()
    with _surroundings(arguments, environment, cwd), redirect_stdout(out), redirect_stderr(err):
        if before is not None:
            before()
        code: object = 0
        try:
            cli.main()
        except SystemExit as ended:
            code = ended.code
    assert isinstance(code, int)
    done = Done(code=code, out=out.getvalue(), err=err.getvalue())
    assert "Traceback" not in done.err, done.err
    return done


def _unsent(context: Context, run_id: str, plan: object, steps: object) -> None:
    """In place of `send_steps`: the run is sent, and no worker has a message of it."""
    context.ledger.move(run_id, RunState.RUNNING, [RunState.INCOMPLETE])


@contextmanager
def _surroundings(
    arguments: tuple[str, ...], environment: Mapping[str, str], cwd: Path
) -> Iterator[None]:
    """What a process of its own would have; all is put back in the end, the clock as well."""
    were = {**os.environ}, sys.argv, clock.now, connection.PLANNER_TRIES
    os.environ.clear()
    os.environ.update({"COLUMNS": "80", **environment})  # as wide as what is no terminal
    sys.argv = ["planner", *arguments]
    try:
        with (
            chdir(cwd),
            patch("worker.run.enqueue.send_steps", _unsent),
            patch("worker.run.control.send_steps", _unsent),
        ):
            yield
    finally:
        os.environ.clear()
        os.environ.update(were[0])
        sys.argv, clock.now, connection.PLANNER_TRIES = were[1:]


def impatient() -> None:
    """For `before`: a Redis that is not there will not come, so nothing waits for it."""
    connection.PLANNER_TRIES = 0


def _started(
    arguments: tuple[str, ...], environment: dict[str, str], cwd: Path, seconds: float
) -> Done:
    done = subprocess.run(
        [sys.executable, "-m", "planner", *arguments],
        env=environment,
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    return Done(code=done.returncode, out=done.stdout, err=done.stderr)


def _forked(
    arguments: tuple[str, ...],
    environment: dict[str, str],
    cwd: Path,
    seconds: float,
    before: Callable[[], None] | None,
) -> Done:
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        process = _SERVER.Process(
            target=_main, args=(arguments, environment, cwd, out, err, before)
        )
        process.start()
        process.join(seconds)
        code = process.exitcode
        if code is None:
            process.kill()
            process.join()
            raise AssertionError(
                f"planner {arguments} takes longer than {seconds} s: {err.read_text()}"
            )
        process.close()
        return Done(code=code, out=out.read_text(), err=err.read_text())


def _main(
    arguments: tuple[str, ...],
    environment: dict[str, str],
    cwd: Path,
    out: Path,
    err: Path,
    before: Callable[[], None] | None,
) -> None:
    """In the fork."""
    for path, number in ((out, 1), (err, 2)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(file, number)
        os.close(file)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(cwd)
    sys.argv = ["planner", *arguments]
    if before is not None:
        before()

    from planner.cli import main

    main()
