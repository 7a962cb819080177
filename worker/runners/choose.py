"""Which of a phase's runners is used: the first that exists."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planner.pipeline.phase import Phase
from planner.pipeline.runners import (
    HttpBatchRunner,
    PluginRunner,
    RunnerSpec,
    ScriptRunner,
    SqlRunner,
)
from worker.runners.environment import Unset
from worker.runners.http_batch import HttpBatch
from worker.runners.job import Runner
from worker.runners.plugin import Plugin
from worker.runners.script import Script
from worker.runners.sql import Sql

RUNNERS: Mapping[type[RunnerSpec], Callable[[Any], Runner]] = {
    ScriptRunner: Script,
    HttpBatchRunner: HttpBatch,
    SqlRunner: Sql,
    PluginRunner: Plugin,
}
"""What the pipeline file says of a runner → what runs it. A new kind gets a line here."""


class NoRunner(Exception):
    """None of a phase's runners exists."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A phase's runner, and those before it that are absent."""

    number: int | None
    """From 0, in the order of the pipeline file; None when there is none."""
    absent: tuple[str, ...]
    """What was looked for, and where."""


def choose(phase: Phase, beside: Path, pinned: int | None = None) -> Choice:
    """The first runner of a phase that exists, as far as this machine can tell; or the one that
    the run chose, from 1, if that does."""
    absent: list[str] = []
    for number, spec in enumerate(phase.runners):
        if pinned is not None and number != pinned - 1:
            continue
        why = absence(spec, beside)
        if why is None:
            return Choice(number=number, absent=tuple(absent))
        absent.append(why)
    return Choice(number=None, absent=tuple(absent))


def which_of(phase: Phase, beside: Path, pinned: int | None = None) -> int | None:
    """The number of the runner to use, from 0; None when none exists. `pinned` is the run's own
    choice, from 1, and used without looking.

    A phase's only runner is used without looking: when it is absent, its own error says so.
    """
    if pinned is not None:
        return pinned - 1
    return 0 if len(phase.runners) == 1 else choose(phase, beside).number


def runner_for(phase: Phase, beside: Path, number: int | None = None) -> tuple[int, Runner]:
    """The runner to use, and its number; `number` when it was chosen before. Raises `NoRunner`."""
    if number is None:
        number = which_of(phase, beside)
    if number is None:
        absent = choose(phase, beside).absent
        raise NoRunner(f"no runner of {phase.name} exists: {'; '.join(absent)}")
    spec = phase.runner(number)
    if spec is None:
        raise NoRunner(f"{phase.name} has no runner {number + 1}: it has {len(phase.runners)}")
    return number, running(spec)


def running(spec: RunnerSpec) -> Runner:
    """What runs a phase as the pipeline file says."""
    return RUNNERS[type(spec)](spec)


def absence(spec: RunnerSpec, beside: Path) -> str | None:
    """What was not found, and where; None when it exists, or only workers can tell."""
    try:
        return running(spec).absence(beside)
    except Unset:
        return None
