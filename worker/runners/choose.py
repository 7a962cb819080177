"""Which of a phase's runners is used: the first that exists."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import httpx

from planner.pipeline.phase import Phase
from planner.pipeline.runners import HttpBatchRunner, Runner, ScriptRunner, SqlRunner
from planner.pipeline.statements import read_statement
from planner.settings import masked
from sql import WarehouseRefused
from worker.runners.client import open_client
from worker.runners.environment import Unset, expand
from worker.runners.http_batch import HttpBatch
from worker.runners.job import Runner as Running
from worker.runners.script import Script
from worker.runners.sql import Sql

PROBE_SECONDS = 5.0  # a service that is slower to say that it has no such page may have it
SCRIPT_SUFFIXES = frozenset({".py", ".sh", ".bash", ".pl", ".rb", ".js", ".jar"})


class NoRunner(Exception):
    """None of a phase's runners exists."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A phase's runner, and those before it that were looked for in vain."""

    number: int | None
    """From 0, in the order of the pipeline file; None when there is none."""
    absent: tuple[str, ...]
    """What was looked for, and where."""


def choose(phase: Phase, beside: Path) -> Choice:
    """The first runner of a phase that exists, as far as this machine can tell."""
    absent: list[str] = []
    for number, spec in enumerate(phase.runners):
        why = absence(spec, beside)
        if why is None:
            return Choice(number=number, absent=tuple(absent))
        absent.append(why)
    return Choice(number=None, absent=tuple(absent))


def which_of(phase: Phase, beside: Path) -> int | None:
    """The number of the runner to use, from 0; None when none exists.

    A phase's only runner is used unasked: when it is not there, it says so itself.
    """
    return 0 if len(phase.runners) == 1 else choose(phase, beside).number


def runner_for(phase: Phase, beside: Path, number: int | None = None) -> tuple[int, Running]:
    """The runner to use, and its number; `number` when it was chosen before. Raises `NoRunner`."""
    if number is None:
        number = which_of(phase, beside)
    if number is None:
        absent = choose(phase, beside).absent
        raise NoRunner(f"no runner of {phase.name} exists: {'; '.join(absent)}")
    return number, running(phase.runners[number])


def running(spec: Runner) -> Running:
    """What runs a phase as the pipeline file says."""
    if isinstance(spec, ScriptRunner):
        return Script(spec)
    if isinstance(spec, HttpBatchRunner):
        return HttpBatch(spec)
    return Sql(spec)


def absence(spec: Runner, beside: Path) -> str | None:
    """What was looked for in vain, and where; None when it is there, or nobody here can tell."""
    try:
        if isinstance(spec, ScriptRunner):
            return _no_script(spec)
        if isinstance(spec, HttpBatchRunner):
            return _no_endpoint(spec)
        return _no_statement(spec, beside)
    except Unset:
        return None  # workers know


def _no_script(spec: ScriptRunner) -> str | None:
    folder = Path(expand(spec.cwd)).expanduser() if spec.cwd else Path()
    if not folder.is_dir():
        return f"there is no folder {folder}"
    program, *arguments = (expand(part) for part in spec.command)
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


def _no_endpoint(spec: HttpBatchRunner) -> str | None:
    base = expand(spec.url).rstrip("/")
    try:
        with open_client(base, seconds=PROBE_SECONDS) as client:
            answer = client.options(spec.start_path)  # starts nothing
    except (httpx.HTTPError, httpx.InvalidURL):
        return None  # it may be there later
    url = f"{masked(base)}{spec.start_path}"
    return f"{url} answers 404" if answer.status_code == 404 else None


def _no_statement(spec: SqlRunner, beside: Path) -> str | None:
    for name in spec.statements:
        try:
            read_statement(name, beside)
        except WarehouseRefused:
            return f"there is no statement {name} in {beside}, and none ships"
    return None
