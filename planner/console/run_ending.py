"""What a command that waited says of a run that did not end well: causes, report, next command."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from planner.console.output import err
from planner.console.run_status import run_exit
from planner.errors import Exit
from planner.plan.states import RunState
from planner.report.advice import enqueue_command
from planner.report.causes import Cause, cause_lines, causes
from planner.text import counted

if TYPE_CHECKING:
    from worker.context import Context
    from worker.ledger.record import RunRecord

CAUSES_SHOWN = 5  # `planner status` has them all


def print_ending(context: Context, record: RunRecord) -> None:
    """Say why a run did not end well, and what to do next; nothing of one that did."""
    from worker.status.status import failures_so_far
    from worker.status.waits import logs_of

    if run_exit(record) is Exit.DONE:
        return
    found = causes(record.id, failures_so_far(context, record))
    lines = [line for cause in found[:CAUSES_SHOWN] for line in cause_lines(cause)]
    if len(found) > CAUSES_SHOWN:
        lines.append(f"… and {len(found) - CAUSES_SHOWN} more causes: `planner status {record.id}`")
    steps = context.ledger.step_records(record.id)
    lines += [logs.line(record.id) for logs in logs_of(steps)]
    page = context.settings.folder("reports") / record.id / "report.html"
    where = page if page.exists() else f"`planner report {record.id}` writes it"
    lines.append(f"report: {where}")
    lines.append(_next(context, record, found))
    if any("rows missing" in cause.reason for cause in found):
        lines.append("if rows cannot come any more: `planner gaps --accept` says how to accept it")
    for line in lines:
        err.print(line, soft_wrap=True, markup=False)


def _next(context: Context, record: RunRecord, found: Sequence[Cause]) -> str:
    """What to do, by what failed; where nothing did, the plan did not take all of its scope."""
    own = {cause.retry for cause in found}
    command = f"planner retry {record.id}" if found else _enqueue(context, record.id)
    if len(own) == 1 and not any("planner retry" in each for each in own):
        (command,) = own  # what no retry can help
    remaining = (record.validation or {}).get("remaining", 0)
    if record.state is RunState.COMPLETE and remaining:
        return f"{counted(remaining, 'gap')} of its scope not taken by its plan; next: `{command}`"
    return f"next: mend the cause, then `{command}`"


def _enqueue(context: Context, run_id: str) -> str:
    """The command that plans the scope of a run again."""
    plan = context.plan(run_id)
    if plan is None:  # forgotten: the whole calendar, then
        return "planner enqueue --gaps"
    return enqueue_command(plan.scope.start, plan.scope.end)
