"""Which tables have to be counted to judge some phases. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.pipeline.phase import Phase
    from planner.pipeline.pipeline import Pipeline
    from planner.pipeline.tables import TableSpec


def tables_to_judge(pipeline: Pipeline, phases: Collection[str]) -> tuple[TableSpec, ...]:
    """The tables that have to be counted to judge some phases: theirs, what these are measured by,
    the sources, which tell on which dates anything is due, and those above with accepted losses."""
    judged = {*phases, *accepting(pipeline, phases)}
    places = {(name, spec.name) for name in judged for spec in pipeline.by_name[name].tables}
    for name in phases:
        for above in (*pipeline.ancestors[name], name):
            phase = pipeline.by_name[above]
            if phase.is_source:
                places |= {(above, spec.name) for spec in phase.tables}
    left = set(places)
    while left:
        measuring = {
            other
            for (place, _), others in pipeline.measures.items()
            if place in left
            for other in others
        }
        left = measuring - places
        places |= left
    names = {table for _, table in places}
    return tuple(spec for spec in pipeline.tables if spec.name in names)


def accepting(pipeline: Pipeline, phases: Collection[str]) -> list[str]:
    """The phases above some others of which the pipeline file accepts a loss."""
    above = frozenset().union(*(pipeline.ancestors[name] for name in phases))
    return [name for name in dict.fromkeys(each.phase for each in pipeline.accept) if name in above]


def gate_phases(phase: Phase) -> tuple[str, ...]:
    """The phases to count before one may run: those that it reads. Where it reads other days than
    its own, its own rows tell that days without rows of a source are no days off."""
    reads_others = phase.days_before or phase.days_after
    return (*phase.after, phase.name) if reads_others else phase.after
