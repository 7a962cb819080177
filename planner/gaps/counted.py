"""Which tables have to be counted to judge some phases. Pure."""

from __future__ import annotations

from collections.abc import Collection

from planner.pipeline.phase import Phase
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.tables import TableSpec


def tables_to_judge(pipeline: Pipeline, phases: Collection[str]) -> tuple[TableSpec, ...]:
    """The tables that have to be counted to judge some phases: theirs, what these are measured by,
    and the sources, which tell on which dates anything is due."""
    places = {(name, spec.name) for name in phases for spec in pipeline.by_name[name].tables}
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


def gate_phases(phase: Phase) -> tuple[str, ...]:
    """The phases to judge before one may run: those that it reads. Where its window reaches back,
    its own rows tell that days without rows of a source are no days off."""
    return (*phase.after, phase.name) if phase.lookback_days else phase.after
