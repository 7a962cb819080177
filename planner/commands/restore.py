"""`planner restore`: put back what a run's dates held before it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from planner.console import options as opt
from planner.console.context import open_run
from planner.console.output import err, note, out, print_json
from planner.console.this_command import this_command
from planner.errors import Exit, UsageError
from planner.plan.states import RestoreState
from planner.text import counted

if TYPE_CHECKING:
    from worker.ledger.restores import RestoreRecord


def restore(
    run: opt.RunId,
    phase: Annotated[
        str | None, typer.Option("--phase", metavar="A", help="This phase alone.")
    ] = None,
    dates: opt.Dates = None,
    over: Annotated[
        bool, typer.Option("--over", help="Also over rows that were written since the run.")
    ] = False,
    as_: opt.As = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: opt.Json = False,
) -> None:
    """Put back what the dates of an ended run held before it, and count it.

    What was written since the run is left, and so is all else then, unless --over says otherwise.
    Interrupted, it is begun again: no table is ever half restored.
    """
    from planner.report.restored import restore_lines
    from worker.run.restore import restore as do

    context, _ = open_run(run)
    if not yes:
        if json or not sys.stdin.isatty():
            raise UsageError(
                f"What {run} wrote is replaced by what was there before. No terminal is here to "
                "ask you: add --yes."
            )
        if not typer.confirm(f"Replace what {run} wrote by what was there before?"):
            note("Nothing was put back.")
            raise typer.Exit(Exit.DONE)
    with err.status("Putting back …"):
        report = do(
            context,
            run,
            phase=phase,
            dates=dates,
            over=over,
            asked=this_command(as_),
            follow=_say,
        )
    if json:
        print_json(report.as_json())
        return
    for line in restore_lines(report):
        out.print(line, markup=False, soft_wrap=True)
    path = context.settings.folder("reports") / run / report.restore_id
    note(f"Written to {path}.md, and as a page: {path.name}.html.")


def _say(record: RestoreRecord) -> None:
    """Say how a restore stands, beside its result."""
    if record.advice:
        note(f"{record.id} failed: {record.advice}")
    elif record.state is RestoreState.RUNNING and record.done:
        note(f"{len(record.done)} of {record.tables}: {record.done[-1].line}")
    elif record.state is RestoreState.RUNNING:
        tables = counted(record.tables, "table")
        note(f"{record.id} begins: {tables}. `planner status {record.id}` follows it elsewhere.")
