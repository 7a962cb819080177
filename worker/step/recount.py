"""Verification: a step succeeds when a recount shows the rows, whatever its runner said."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import date

from planner.gaps.gaps import EMPTY, RECOMPUTE, shortfall
from planner.pipeline.phase import Phase
from planner.plan.plan import Task
from sql.warehouse import Warehouse

Versions = Mapping[str, Mapping[str, list[str]]]
"""Table → date (ISO) → marks of what its rows are made of. JSON, because a parked step keeps it."""


def versions_of(warehouse: Warehouse, phase: Phase, days: Collection[date]) -> Versions:
    """The versions of some dates' rows, where there are any.

    Counts cannot tell whether rows were recomputed; a new version of them can, where it is that of
    one date. A table that BigQuery partitions otherwise gives many dates one version, and any
    write of one of them makes all look recomputed.
    """
    if not days:
        return {}
    return {
        spec.name: {
            day.isoformat(): list(marks)
            for day, marks in warehouse.versions(spec.table, min(days), max(days)).items()
            if day in days
        }
        for spec in phase.tables
    }


def is_unchanged(before: Versions, after: Versions, table: str, day: date) -> bool:
    """Whether any mark of before is left: then not all rows of the date were written anew."""
    old, new = (marks.get(table, {}).get(day.isoformat(), []) for marks in (before, after))
    return not set(old).isdisjoint(new)


def recount(
    warehouse: Warehouse, phase: Phase, tasks: Sequence[Task], before: Versions
) -> dict[date, str]:
    """Dates that are short after the step, each with what is wrong. One query per table."""
    start, end = tasks[0].date, tasks[-1].date
    again = {task.date for task in tasks if task.reason in RECOMPUTE}
    after = versions_of(warehouse, phase, again)
    short: dict[date, str] = {}
    for spec in phase.tables:
        cells = warehouse.coverage(spec.table, start, end)
        for task in tasks:
            missing = shortfall(spec, cells.get(task.date, EMPTY), task.expected)
            day = task.date.isoformat()
            if missing is not None:
                want, have = missing
                short.setdefault(
                    task.date, f"rows missing: {spec.name} holds {have} of {want} on {day}"
                )
            elif task.date in again and is_unchanged(before, after, spec.name, task.date):
                short.setdefault(task.date, f"not recomputed: {spec.name} on {day} is unchanged")
    return short
