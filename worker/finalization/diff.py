"""Compares what a run wrote over with what its tables hold now, row by row."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date

from redis import RedisError

from planner.errors import UsageError
from planner.gaps.gaps import RECOMPUTE
from planner.plan.plan import Plan
from planner.report.changes import DateChange, RowChange, TableChange
from planner.report.report import Report
from sql import WarehouseError
from sql.changes import ChangedRow, Comparison
from sql.keeping import whole
from sql.warehouse import Warehouse
from worker.context import Context
from worker.finalization.kept import require_kept, specs_of
from worker.ledger.kept import Kept, Place
from worker.ledger.record import RunRecord
from worker.processes.secrets import redacted
from worker.step.mismatch import mismatch

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class _Compared:
    phase: str
    comparison: Comparison


def diff(
    context: Context,
    run: RunRecord,
    kept: Mapping[Place, Kept],
    *,
    rows_shown: int = 0,
    warehouse: Warehouse | None = None,
) -> list[TableChange]:
    """Compare what was kept with what is there now, one statement per table.

    With `rows_shown`, a second one names that many rows at most. Raises `WarehouseError`.
    """
    warehouse = warehouse or comparing(context, run)
    return [_change(warehouse, each, rows_shown) for each in _compared(context, run, kept)]


def comparing(context: Context, run: RunRecord) -> Warehouse:
    """The warehouse, whose jobs say that they compare rows of a run."""
    return context.warehouse.labelled(plan_id=run.plan_id, phase="diff")


def chosen(
    context: Context, run: RunRecord, phase: str | None, dates: Collection[date] | None
) -> dict[Place, Kept]:
    """What a run kept, of a phase and some dates. Raises `UsageError` where it kept nothing."""
    require_kept(context, run)
    found = {
        place: kept
        for place, kept in context.ledger.kept(run.id).items()
        if kept.is_kept and phase in (None, place[0]) and (dates is None or place[2] in dates)
    }
    if not found:
        raise UsageError(
            f"{run.id} kept nothing there: `planner report {run.id}` says what it did."
        )
    return found


def with_changes(context: Context, run: RunRecord, plan: Plan, report: Report) -> Report:
    """The report with how the rows that the plan wrote anew differ; a failure is only a note."""
    anew = {
        (step.phase, task.date)
        for _, step in plan.steps()
        for task in step.tasks
        if task.reason in RECOMPUTE
    }
    try:
        if not run.keep or not anew or mismatch(context, run) is not None:
            return report
        kept = {
            place: each
            for place, each in context.ledger.kept(run.id).items()
            if each.is_kept and (place[0], place[2]) in anew
        }
        warehouse = comparing(context, run)
        changes = tuple(diff(context, run, kept, warehouse=warehouse))
        context.ledger.add_billed(run, None, warehouse.billed)
        return report.model_copy(update={"changes": changes})
    except RedisError:
        raise
    except Exception as error:  # also a bug of ours: it must not keep the run from ending
        log.exception("%s: its rows are not compared with those before", run.id)
        why = f"rows written anew are not compared with those before: {_told(error)}"
        return report.model_copy(update={"notes": (*report.notes, why)})


def _told(error: Exception) -> str:
    kind = "" if isinstance(error, WarehouseError) else f"{type(error).__name__}: "
    return redacted(f"{kind}{error}")


def _compared(context: Context, run: RunRecord, kept: Mapping[Place, Kept]) -> Iterator[_Compared]:
    warehouse = context.warehouse
    keeper = warehouse.keeper(dataset=run.keep_dataset, days=run.keep_days)
    for phase, spec, of in specs_of(context, run, kept):
        table = warehouse.dated(whole(spec.table))
        places = {day: each.place for day, each in of.items() if each.place}
        yield _Compared(
            phase=phase.name,
            comparison=Comparison(
                table=table,
                key=spec.key,
                sources=tuple(keeper.sources(table, places, run.id)) if places else (),
                days=frozenset(of),
            ),
        )


def _change(warehouse: Warehouse, compared: _Compared, rows_shown: int) -> TableChange:
    comparison = compared.comparison
    found = comparison.changes(warehouse)
    columns: dict[str, int] = {}
    for change in found.values():
        for name, count in change.columns.items():
            columns[name] = columns.get(name, 0) + count
    apart = [
        DateChange(date=day, added=each.added, removed=each.removed, changed=each.changed)
        for day, each in sorted(found.items())
        if each.added or each.removed or each.changed
    ]
    rows = comparison.rows(warehouse, shown=rows_shown) if rows_shown and apart else []
    return TableChange(
        phase=compared.phase,
        table=comparison.table.name,
        key=comparison.key,
        dates=tuple(apart),
        columns=dict(sorted(columns.items(), key=lambda each: (-each[1], each[0]))),
        rows=tuple(_row(row, comparison) for row in rows),
        compared=len(comparison.days),
    )


def _row(row: ChangedRow, comparison: Comparison) -> RowChange:
    one = row.new if row.new is not None else row.old or {}
    old, new = row.old, row.new
    if old is not None and new is not None:
        apart = [name for name, value in old.items() if new.get(name) != value]
        old, new = {name: old[name] for name in apart}, {name: new[name] for name in apart}
    key = comparison.key or tuple(one)
    return RowChange(
        date=row.date,
        key={name: one.get(name) for name in key},
        old=None if old is None else dict(old),
        new=None if new is None else dict(new),
    )
