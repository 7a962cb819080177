"""How many tables are read to judge some phases: what counting is billed by, at least. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from planner.evidence.expectations import listings
from planner.evidence.tables import tables_to_judge
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.tables import TableSpec


def tables_read(pipeline: Pipeline, counted: Collection[str], judged: Collection[str]) -> int:
    """How often a table is read to count some phases, and to judge some of them.

    Ids are named, too, where a count shows them to differ: that is not foreseen.
    """
    specs = tables_to_judge(pipeline, counted)
    listed = listings(pipeline, {spec.name: {} for spec in specs})
    return len(specs) + len(listed) + len(compared_always(pipeline, judged))


def compared_always(pipeline: Pipeline, phases: Collection[str]) -> list[TableSpec]:
    """The tables whose ids are compared always, and not only where counts differ, once per read:
    those of phases due by week or month (ids of days do not add up), and their upstream."""
    return [
        pipeline.places[place]
        for name in phases
        if not pipeline.by_name[name].grain.is_daily
        for spec in pipeline.by_name[name].tables
        for place in dict.fromkeys(_compared(pipeline, (name, spec.name)))
    ]


def _compared(pipeline: Pipeline, place: tuple[str, str]) -> Iterator[tuple[str, str]]:
    """A table, and all that it is measured by."""
    for entity in pipeline.compared_by_ids(place):
        yield place
        left = list(pipeline.measures[place, entity])
        while left:
            other = left.pop()
            yield other
            left += pipeline.measures[other, entity]
