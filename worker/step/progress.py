"""How far a step has got, by table: what a script that resumes may leave out."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date

from planner.gaps.gaps import EMPTY, RECOMPUTE, shortfall
from planner.pipeline.lookback import lookback
from planner.pipeline.phase import Phase
from planner.plan.plan import Task
from sql import Unsupported
from sql.warehouse import Warehouse
from worker.ledger.ledger import Ledger
from worker.step.recount import Versions, is_unchanged, versions_of


def outdated(ledger: Ledger, run_id: str, phase: Phase, tasks: Sequence[Task]) -> list[date]:
    """Dates whose rows, where there are any, were computed before this run changed their upstream.

    However complete they look, they have to be written anew.
    """
    windows = {
        task.date: [(up, past) for up in phase.after for past in lookback(task.date, phase).days()]
        for task in tasks
    }
    changed = ledger.dates(run_id, dict.fromkeys(pair for w in windows.values() for pair in w))
    return [
        task.date
        for task in tasks
        if task.reason in RECOMPUTE or any(pair in changed for pair in windows[task.date])
    ]


def filled(
    warehouse: Warehouse,
    phase: Phase,
    tasks: Sequence[Task],
    *,
    outdated: Collection[date],
    before: Versions,
) -> frozenset[str]:
    """Tables that are complete on every task's date, and rewritten where rows were outdated.

    `before` are the versions when the step began. Raises `sql.WarehouseError`.
    """
    start, end = tasks[0].date, tasks[-1].date
    old_days = [task.date for task in tasks if task.date in outdated]
    try:
        after = versions_of(warehouse, phase, old_days)
    except Unsupported:
        return frozenset()  # nobody can tell
    names = []
    for spec in phase.tables:
        cells = warehouse.coverage(spec.table, start, end)
        is_whole = all(
            shortfall(spec, cells.get(task.date, EMPTY), task.expected) is None for task in tasks
        )
        is_new = not any(is_unchanged(before, after, spec.name, day) for day in old_days)
        if is_whole and is_new:
            names.append(spec.name)
    return frozenset(names)
