"""`planner diff`: how the rows that a run wrote anew differ from those before it."""

from __future__ import annotations

from typing import Annotated

import typer

from planner.console import options as opt
from planner.console.context import open_run
from planner.console.output import err, note, out, print_json


def diff(
    run: opt.RunId,
    phase: Annotated[
        str | None, typer.Option("--phase", metavar="A", help="This phase alone.")
    ] = None,
    dates: opt.Dates = None,
    limit: Annotated[
        int, typer.Option("--limit", min=0, max=10_000, help="Rows that are shown of each table.")
    ] = 20,
    json: opt.Json = False,
) -> None:
    """Compare what a run wrote over with what its tables hold now, row by row.

    Rows are told apart by the table's `key`; without one they are added and removed alone.
    """
    from planner.report.changes import phase_lines, table_lines
    from worker.finalization.diff import chosen
    from worker.finalization.diff import diff as do

    context, record = open_run(run)
    with err.status("Comparing …"):
        found = do(context, record, chosen(context, record, phase, dates), rows_shown=limit)
    if json:
        print_json({"run_id": run, "tables": [table.as_json() for table in found]})
        return
    for table in found:
        for line in table_lines(table):
            out.print(line, markup=False, soft_wrap=True)
    for line in phase_lines(found):
        note(line)
