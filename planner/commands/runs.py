"""`planner runs`, `planner status` and `planner report`: what runs did."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from planner.console import options as opt
from planner.console.context import open_context, required_ledger
from planner.console.output import count_table, note, out, print_json
from planner.console.restores import (
    restore_exit,
    restore_row,
    restored_line,
    restores_of,
    show_report,
    show_status,
)
from planner.console.run_status import cause_lines_of, log_lines_of, run_exit, sharing_of
from planner.errors import Exit, FleetError, UsageError
from planner.plan.cost import Cost
from planner.plan.states import RunState
from planner.report.report import billed_text
from planner.text import counted, duration, moment
from worker.status.status import sharing_json, shown_state, status_json
from worker.status.waits import Retrying, Wait

if TYPE_CHECKING:
    from worker.ledger.record import RunRecord


def runs(json: opt.Json = False) -> None:
    """List runs, and restores of them, newest first."""
    context = open_context()
    ledger = required_ledger(context)
    found = ledger.runs(on_bad=lambda error: note(str(error)))
    restores = ledger.restores(on_bad=lambda error: note(str(error)))
    rows = [*map(_row, found), *map(restore_row, restores)]
    rows.sort(key=lambda row: str(row["created"]), reverse=True)
    if json:
        print_json({"runs": rows})
    elif not rows:
        out.print("No runs yet: start one with `planner enqueue --gaps`.")
    else:
        columns = ["run", "state", "pipeline", "created", "steps", "reason", "by"]
        shown = [[*row.values()][: len(columns)] for row in rows]
        out.print(count_table("runs", columns, shown, whole=2))


def _row(record: RunRecord) -> dict[str, object]:
    return {
        "run_id": record.id,
        "state": shown_state(record),
        "pipeline": record.pipeline,
        "created": moment(record.created).removesuffix(" UTC"),
        "steps_total": record.steps_total,
        "reason": record.reason,
        "by": record.asked.by if record.asked else None,
        **sharing_json(record),
    }


def log(run: opt.RunId, json: opt.Json = False) -> None:
    """Show every command that touched a run, in order: who gave it, from where, and when."""
    context = open_context()
    ledger = required_ledger(context)
    restore = ledger.restore(run)
    if restore is None:
        commands = ledger.commands(ledger.require(run))
    else:
        commands = (restore.asked,) if restore.asked else ()
    if json:
        print_json({"run_id": run, "commands": [each.as_json() for each in commands]})
        return
    for each in commands:
        out.print(each.text, style="bold", markup=False, soft_wrap=True)
        out.print(f"  {each.line}", markup=False, soft_wrap=True)
    if not commands:
        out.print(f"{run} was sent by a version that noted no commands.", markup=False)


def status(run: opt.RunId, json: opt.Json = False) -> None:
    """Show where a run is. The exit code is that of the run: 0, 1 or 4; 0 while it runs."""
    context = open_context()
    ledger = required_ledger(context)
    if (restore := ledger.restore(run)) is not None:
        show_status(restore, json=json)
        raise typer.Exit(restore_exit(restore))
    record = ledger.require(run)
    context = context.serving(record)
    if not record.is_ended:
        from worker.reconciler import reconcile

        reconcile(context)
    found = status_json(context, record)
    restores = restores_of(context, run)
    if json:
        print_json({**found, "restores": {each.id: str(each.state) for each in restores}})
    else:
        _print_status(found)
        for each in restores:
            out.print(restored_line(each), markup=False, soft_wrap=True)
    raise typer.Exit(run_exit(record) if record.is_ended else Exit.DONE)


def report(
    run: opt.RunId,
    handoff: Annotated[
        Path | None,
        typer.Option("--handoff", metavar="FILE", help="Append a short dated note to a file."),
    ] = None,
    json: opt.Json = False,
) -> None:
    """Show a run's report, and write it to `BACKFILL_HOME/reports`: Markdown, JSON, and a page."""
    from pydantic import ValidationError
    from rich.markdown import Markdown

    from planner.report.causes import report_json
    from planner.report.handoff import append_note, handoff_note
    from planner.report.markdown import render_markdown
    from planner.report.report import Report

    context = open_context()
    ledger = required_ledger(context)
    if (restore := ledger.restore(run)) is not None:
        show_report(context, restore, json=json, handoff=handoff)
        return
    record = ledger.require(run)
    context = context.serving(record)
    text = ledger.report(run)
    if text is None:
        raise UsageError(f"{run} is {record.state}: its report is written when it has ended.")
    try:
        found = Report.model_validate_json(text)
    except ValidationError:
        raise FleetError(
            f"The report of {run} in Redis is none of this version: `planner status {run}` tells "
            "how it ended."
        ) from None
    from worker.finalization.report_files import write_report

    write_report(context, found)
    if handoff is not None:
        append_note(handoff, handoff_note(found))
        note(f"Note appended to {handoff}.")
    if json:
        print_json(report_json(found))
        return
    if out.is_terminal:
        out.print(Markdown(render_markdown(found)))
    else:
        out.print(render_markdown(found), markup=False, soft_wrap=True)
    for each in restores_of(context, run):
        note(restored_line(each))
    note(f"Written to {context.settings.folder('reports') / run}: open report.html in a browser.")


def _against(ahead: dict[str, Any]) -> str:
    if not ahead["planned_seconds"]:
        return ""
    told = (
        f" after {duration(ahead['spent_seconds'])}; planned {duration(ahead['planned_seconds'])}"
    )
    return told + (", so it drifts" if ahead["drifts"] else "")


def _billed_lines(billed: dict[str, Any]) -> Iterator[str]:
    limit = billed["max_dollars"]
    cost = Cost(bytes=billed["bytes"], dollars=billed["dollars"])
    told = f"billed so far: {cost}" + ("" if limit is None else f" of ${limit:g} at most")
    phases = ", ".join(
        billed_text(name, size, billed["labelled"].get(name, 0))
        for name, size in billed["phases"].items()
    )
    yield f"{told}; {phases}" if phases else told
    for phase, why in billed["unknown"].items():
        yield f"billed: unknown for {phase}: {why}"


def _print_status(found: dict[str, Any]) -> None:
    steps = ", ".join(f"{n} {state}" for state, n in found["steps"].items() if n)
    out.print(f"{found['run_id']}: [bold]{found['state']}[/]; steps: {steps or 'none'}")
    if found["deadline"]:
        passed = " has passed: what had not ended by then was cancelled"
        out.print(f"deadline: {found['deadline']}{passed if found['stopped_by'] else ''}")
    if sharing := sharing_of(found):
        out.print(f"sharing: {sharing}", markup=False)
    if found["note"]:
        out.print(found["note"], markup=False)
    for line in _billed_lines(found["billed"]) if found["billed"]["bytes"] else ():
        out.print(line, markup=False, soft_wrap=True)
    if len(found["code"]) > 1:
        codes = ", then ".join(each["code"] for each in found["code"])
        out.print(f"the scripts' code changed during the run: {codes}", markup=False)
    _print_progress(found)
    _print_end(found)


def _print_progress(found: dict[str, Any]) -> None:
    """What is left to do, and what its steps wait for."""
    ahead = found["estimate"]
    if found["state"] in (RunState.RUNNING, RunState.PAUSED) and ahead["left_seconds"] is not None:
        out.print(f"about {duration(ahead['left_seconds'])} left{_against(ahead)}")
    now = datetime.now(UTC).timestamp()
    for why in found["held_up_by"]:
        out.print(f"it stands still: {why}", markup=False, soft_wrap=True)
    for wait in found["waiting"]:
        told = Wait(what=wait["for"], steps=wait["steps"], since=_seconds(wait["since"]))
        out.print(told.line(now), markup=False, soft_wrap=True)
    for each in found["retrying"]:
        again = _seconds(each["again"]) or now
        tried = Retrying(reason=each["reason"], steps=tuple(each["steps"]), again=again)
        out.print(tried.line(now), markup=False, soft_wrap=True)


def _print_end(found: dict[str, Any]) -> None:
    """What the final validation found, what was published, and what failed by cause."""
    if found["validation"]:
        check = found["validation"]
        out.print(
            f"final validation: {'passed' if check['passed'] else 'failed'}, "
            f"{check.get('checked', '?')} phase-dates checked, {check.get('short', '?')} short, "
            f"{check.get('remaining', '?')} other gaps in scope"
        )
    if found["publication"]:
        ran, failed = found["publication"]["ran"], found["publication"]["failed"]
        out.print(f"published, and not verified: {counted(len(ran), 'date')}; {len(failed)} failed")
        for day, why in failed.items():
            out.print(f"publishing {day}: {why}", markup=False)
    for line in [*cause_lines_of(found), *log_lines_of(found)]:
        out.print(line, markup=False, soft_wrap=True)


def _seconds(moment: str | None) -> float | None:
    return None if moment is None else datetime.fromisoformat(moment).timestamp()
