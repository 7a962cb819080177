"""`planner logs`: what the scripts and statements of a run's steps said."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from planner.console import options as opt
from planner.console.context import open_context, required_ledger
from planner.console.output import note, out, print_json
from planner.errors import UsageError
from planner.plan.states import StepState
from planner.text import nearest

if TYPE_CHECKING:
    from worker.context import Context
    from worker.ledger.record import StepRecord

LINES = 200
TOLD = (StepState.FAILED, StepState.RUNNING)

StepName = Annotated[
    str | None, typer.Argument(metavar="[STEP]", help="One step, such as 2022-04-18/grading.")
]
Lines = Annotated[int, typer.Option("--lines", "-n", min=1, help="Of a log's end, at most.")]


def logs(
    run: opt.RunId, step: StepName = None, lines: Lines = LINES, json: opt.Json = False
) -> None:
    """Show the log of a step; without STEP, of every step of the run that failed or is at work.

    A log is on the machine of the worker that ran the step. Where it is not here, what the ledger
    knows is shown, and which worker has the log.
    """
    context = open_context()
    ledger = required_ledger(context)
    ledger.require(run)
    records = {record.id: record for record in ledger.step_records(run)}
    if step is not None and step not in records:
        hint = nearest(step, records, what="steps") if len(records) < LINES else "see `status`"
        raise UsageError(f"{run} has no step {step!r}; {hint}")
    wanted = [records[step]] if step else [r for r in records.values() if _is_told(r)]
    found = [_log(context, run, record, lines) for record in wanted]
    if json:
        print_json({"run_id": run, "logs": found})
        return
    for each in found:
        _print(each, with_title=step is None)
    if not found:
        note(f"No step of {run} failed or is at work: name one of its {len(records)} steps.")


def _is_told(record: StepRecord) -> bool:
    return record.state in TOLD or bool(record.retry_text)


def _log(context: Context, run_id: str, record: StepRecord, lines: int) -> dict[str, Any]:
    """The documented shape of one log in `planner logs --json`."""
    from worker.step.log import log_path

    path = log_path(context, run_id, record.id)
    return {
        "step": record.id,
        "state": str(record.state),
        "worker": record.worker,
        "error": record.error or record.retry_text,
        "path": str(path) if path.exists() else None,
        "lines": _last(path, lines),
    }


def _last(path: Path, lines: int) -> list[str]:
    """The last lines of a file; none where it is not, or where a script has put another thing."""
    if not path.is_file():
        return []
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return [line.rstrip("\n") for line in deque(file, maxlen=lines)]
    except FileNotFoundError:
        return []


def _print(each: dict[str, Any], *, with_title: bool) -> None:
    if with_title:
        out.print(f"== {each['step']} ({each['state']})", style="bold", markup=False)
    for line in each["lines"]:
        out.print(line, markup=False, soft_wrap=True)
    if each["path"] is not None:
        note(f"{each['path']}")
        return
    if each["error"]:
        out.print(each["error"], markup=False, soft_wrap=True)
    where = f"on the machine of {each['worker']}" if each["worker"] else "nowhere: it never began"
    note(f"No log of {each['step']} is here; it is {where}.")
