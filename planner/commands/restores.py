"""Restores as `planner runs`, `status`, `report` and `log` tell them, beside runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from planner.commands.output import note, out, print_json
from planner.errors import Exit, UsageError
from planner.plan.states import RestoreState
from planner.report.restored import restore_lines, save_restore
from planner.text import counted, moment, timestamp

if TYPE_CHECKING:
    from worker.ledger.restores import RestoreRecord
    from worker.step.context import Context


def restore_row(record: RestoreRecord) -> dict[str, object]:
    """A restore among the rows of `planner runs`: its steps are the tables."""
    return {
        "run_id": record.id,
        "state": str(record.state),
        "pipeline": record.pipeline,
        "created": moment(record.begun).removesuffix(" UTC"),
        "steps_total": record.tables,
        "reason": f"restore of {record.run_id}",
        "by": record.asked.by if record.asked else None,
        "priority": None,
        "max_slots": None,
        "hours": None,
    }


def restore_exit(record: RestoreRecord) -> Exit:
    """The exit code of a restore: 0 while it goes on, too."""
    is_well = record.state in (RestoreState.RUNNING, RestoreState.RESTORED)
    return Exit.DONE if is_well else Exit.FAILED


def show_status(record: RestoreRecord, *, json: bool) -> None:
    """Where a restore is, and what to do about it."""
    if json:
        print_json(_status_json(record))
        return
    of = f"restore of {record.run_id}, {counted(record.tables, 'table')}"
    out.print(f"{record.id}: [bold]{record.state}[/]; {of}, begun {moment(record.begun)}")
    if record.report is not None:
        for line in restore_lines(record.report):
            out.print(line, markup=False, soft_wrap=True)
    elif (told := next_step(record)) is not None:
        out.print(told, markup=False, soft_wrap=True)


def show_report(context: Context, record: RestoreRecord, *, json: bool) -> None:
    """The report of a restore that has ended, which is written into files too."""
    if record.report is None:
        more = next_step(record) or "Its report is written when it has ended."
        raise UsageError(f"{record.id} is {record.state}. {more}")
    path = save_restore(context.settings.folder("reports"), record.report)
    if json:
        print_json(record.report.as_json())
        return
    for line in restore_lines(record.report):
        out.print(line, markup=False, soft_wrap=True)
    note(f"Written to {path}.")


def next_step(record: RestoreRecord) -> str | None:
    """What to do about a restore that did not end well."""
    if record.state not in (RestoreState.INTERRUPTED, RestoreState.FAILED):
        return None
    why = record.why or "Its process is gone."
    return f"{why} No table is half restored; what is left is put back with `{record.again}`."


def _status_json(record: RestoreRecord) -> dict[str, Any]:
    return {
        "run_id": record.id,
        "state": str(record.state),
        "restores": record.run_id,
        "tables": record.tables,
        "begun": timestamp(record.begun),
        "ended": None if record.ended is None else timestamp(record.ended),
        "note": next_step(record),
        "report": None if record.report is None else record.report.as_json(),
    }
