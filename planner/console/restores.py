"""Restores as `planner runs`, `status`, `report` and `log` tell them, beside runs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planner.console.output import note, out, print_json
from planner.errors import Exit, UsageError
from planner.plan.states import RestoreState
from planner.report.restored import restore_lines, restore_markdown
from planner.text import counted, moment, timestamp

if TYPE_CHECKING:
    from worker.context import Context
    from worker.ledger.restores import RestoreRecord


LOOK_SECONDS = 0.5  # between two looks at a restore that goes on


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
    """The exit code of a restore; 0 while it is under way."""
    is_well = record.state in (RestoreState.RUNNING, RestoreState.RESTORED)
    return Exit.DONE if is_well else Exit.FAILED


def show_status(record: RestoreRecord, *, json: bool) -> None:
    """Where a restore is, and what to do about it."""
    if json:
        print_json(_status_json(record))
        return
    of = f"restore of {record.run_id}, {len(record.done)} of {counted(record.tables, 'table')}"
    heading = f"{record.id}: [bold]{record.state}[/]; {of}, begun {moment(record.begun)}"
    out.print(heading, soft_wrap=True)
    if record.report is not None:
        for line in restore_lines(record.report):
            out.print(line, markup=False, soft_wrap=True)
        return
    for each in record.done:
        out.print(f"  put back: {each.line}", markup=False, soft_wrap=True)
    if record.advice:
        out.print(record.advice, markup=False, soft_wrap=True)


def show_report(
    context: Context, record: RestoreRecord, *, json: bool, handoff: Path | None = None
) -> None:
    """The report of a restore that has ended, which is written into files too."""
    from planner.report.handoff import append_note
    from worker.finalization.report_files import write_restore_report

    if record.report is None:
        more = record.advice or "Its report is written when it has ended."
        raise UsageError(f"{record.id} is {record.state}. {more}")
    path = write_restore_report(context, record.report)
    if handoff is not None:
        append_note(handoff, restore_markdown(record.report, level=2))
        note(f"Note appended to {handoff}.")
    if json:
        print_json(record.report.as_json())
        return
    for line in restore_lines(record.report):
        out.print(line, markup=False, soft_wrap=True)
    note(f"Written to {path}.")


def follow_restore(context: Context, restore_id: str) -> RestoreRecord:
    """Say which tables are put back, until the restore has ended; the record of its end."""
    told = 0
    while True:
        record = context.ledger.restore(restore_id)
        if record is None:
            raise UsageError(f"Redis holds {restore_id} no more: `planner runs` lists restores.")
        for each in record.done[told:]:
            note(f"put back: {each.line}")
        told = len(record.done)
        if record.state is not RestoreState.RUNNING:
            return record
        time.sleep(LOOK_SECONDS)


def restores_of(context: Context, run_id: str) -> list[RestoreRecord]:
    """Restores of a run, newest first: what it wrote may be there no more, which its own state does
    not tell."""
    return [each for each in context.ledger.restores() if each.run_id == run_id]


def restored_line(record: RestoreRecord) -> str:
    """What a restore made of what a run wrote."""
    at, tables = moment(record.ended or record.begun), counted(record.tables, "table")
    return f"{record.state}: {record.id} put back {len(record.done)} of {tables} of it, {at}"


def _status_json(record: RestoreRecord) -> dict[str, Any]:
    return {
        "run_id": record.id,
        "state": str(record.state),
        "restores": record.run_id,
        "tables": record.tables,
        "begun": timestamp(record.begun),
        "ended": None if record.ended is None else timestamp(record.ended),
        "note": record.advice or None,
        "done": [each.as_json() for each in record.done],
        "report": None if record.report is None else record.report.as_json(),
    }
