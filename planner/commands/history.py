"""`planner history`: the tables in the warehouse that keep what runs did, for dashboards."""

from __future__ import annotations

from typing import Annotated

import typer

from planner.console import options as opt
from planner.console.context import open_context
from planner.console.output import note, out, print_json
from planner.errors import UsageError
from planner.report.history import TABLES, check_columns, create_statements


def history(
    create: Annotated[bool, typer.Option("--create", help="Create what is missing.")] = False,
    json: opt.Json = False,
) -> None:
    """Show the statements that create the tables of the run history; with --create, run them.

    The tables are in the dataset that `BACKFILL_HISTORY_DATASET` names, which must be there.
    """
    context = open_context()
    dataset = context.settings.history_dataset
    if dataset is None:
        raise UsageError("Set BACKFILL_HISTORY_DATASET to the dataset of the run history's tables.")
    statements = create_statements(dataset)
    if create:
        warehouse = context.warehouse.labelled(phase="history")
        check_columns(warehouse, dataset)
        for statement in statements:
            warehouse.run(statement, {})
    tables = [f"{dataset}.{name}" for name in TABLES]
    if json:
        print_json({"tables": tables, "created": create, "statements": statements})
        return
    if create:
        out.print(f"{', '.join(tables)} are there.", markup=False, soft_wrap=True)
        return
    for statement in statements:
        out.print(f"{statement.rstrip()};", markup=False, soft_wrap=True)
    note("Create them with `planner history --create`, or run these yourself.")
