"""What a user chooses for one run: values of placeholders, and which runner of a phase is used."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from planner.errors import UsageError
from planner.text import nearest

if TYPE_CHECKING:
    from planner.pipeline.pipeline import Pipeline
    from planner.pipeline.runners import RunnerSpec


def require_choices(
    pipeline: Pipeline,
    phases: Collection[str],
    values: Mapping[str, str],
    pinned: Mapping[str, int],
) -> None:
    """Raises `UsageError` for a value that no runner of the phases declares or whose pattern it
    does not match, and for a runner that is not there. `pinned` counts from 1."""
    for phase, number in pinned.items():
        if phase not in phases:
            hint = nearest(phase, sorted(phases), what="phases")
            raise UsageError(f"--runner {phase}={number}: no such phase may be run; {hint}")
        count = len(pipeline.by_name[phase].runners)
        if not 1 <= number <= count:
            raise UsageError(
                f"--runner {phase}={number}: {phase} has runners 1 to {count}: name one."
            )
    specs = list(_used(pipeline, phases, pinned))
    for name, value in values.items():
        declared = [(phase, spec.values[name]) for phase, spec in specs if name in spec.values]
        if not declared:
            known = sorted({each for _, spec in specs for each in spec.values})
            hint = nearest(name, known, what="values") if known else "none declares any"
            raise UsageError(f"--set {name}: no runner of these phases declares it; {hint}")
        for phase, spec in declared:
            why = spec.complaint(value)
            if why is not None:
                raise UsageError(f"--set {name}={value!r} of {phase} {why}.")


def _used(
    pipeline: Pipeline, phases: Collection[str], pinned: Mapping[str, int]
) -> Iterator[tuple[str, RunnerSpec]]:
    """The runners that a run of the phases may use: those that are chosen, else any."""
    for name in phases:
        for number, spec in enumerate(pipeline.by_name[name].runners, start=1):
            if pinned.get(name, number) == number:
                yield name, spec


def choice_lines(values: Mapping[str, str], pinned: Mapping[str, int]) -> list[str]:
    """The choices of a run, for people."""
    told = [f"{name} = {value}" for name, value in values.items()]
    told += [f"{phase} by its runner {number}" for phase, number in pinned.items()]
    return [f"set: {', '.join(told)}"] if told else []
