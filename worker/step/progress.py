"""How far a step has got, by table: what a script that resumes may leave out."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Container, Sequence
from datetime import date

from planner.evidence.read import read_coverage
from planner.gaps.gaps import RECOMPUTE, SHORT
from planner.pipeline.phase import Phase
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Window
from planner.plan.plan import Task
from sql.warehouse import Warehouse
from worker.step.before import Before, is_unchanged, versions_of
from worker.step.gate import Pair, upstream_of
from worker.step.judge import judge


def outdated(changed: Container[Pair], phase: Phase, tasks: Sequence[Task]) -> list[date]:
    """Dates whose rows, where there are any, were computed before this run changed their upstream.

    However complete they look, they have to be written anew. `changed` is what is in the run.
    """
    windows = upstream_of(phase, (task.date for task in tasks))
    return [
        task.date
        for task in tasks
        if task.reason in RECOMPUTE or any(pair in changed for pair in windows[task.date])
    ]


def standing(
    warehouse: Warehouse, phase: Phase, days: Sequence[date], *, outdated: Collection[date]
) -> str:
    """A short mark of the rows per table and date: another one once a row was written.

    Rows that are outdated may be replaced by as many with the same ids, so their versions count
    too. Raises `sql.WarehouseError`.
    """
    cells = read_coverage(warehouse, phase.tables, Window(start=min(days), end=max(days)))
    held = [
        (table, day.isoformat(), cell.rows, sorted(cell.fingerprints.items()))
        for table, of_table in cells.items()
        for day, cell in sorted(of_table.items())
        if day in days
    ]
    versions = versions_of(warehouse, phase, [day for day in days if day in outdated])
    marks = [(table, sorted(of_day.items())) for table, of_day in sorted(versions.items())]
    return hashlib.sha256(repr((held, marks)).encode()).hexdigest()[:16]


def filled(
    warehouse: Warehouse,
    pipeline: Pipeline,
    phase: Phase,
    tasks: Sequence[Task],
    *,
    outdated: Collection[date],
    before: Before,
) -> frozenset[str]:
    """Tables that are complete on every task's date, and rewritten where rows were outdated.

    `before` is how they stood when the step began. Raises `sql.WarehouseError`.
    """
    window = Window(start=tasks[0].date, end=tasks[-1].date)
    days = {task.date for task in tasks}
    old_days = [day for day in sorted(days) if day in outdated]
    after = versions_of(warehouse, phase, old_days)
    _, now = judge(warehouse, pipeline, [phase.name], window)
    short = {
        finding.table
        for day, gap in now.gaps[phase.name].items()
        for finding in gap.findings
        if day in days and finding.reason in SHORT
    }
    return frozenset(
        spec.name
        for spec in phase.tables
        if spec.name not in short
        and (not old_days or spec.name in after)  # nothing else shows that rows are new
        and not any(is_unchanged(before.versions, after, spec.name, day) for day in old_days)
    )
