"""The commands that touched a run, in the warehouse's history: `backfill_commands`."""

from __future__ import annotations

from collections.abc import Sequence

from planner.plan.command import Command
from sql import Warehouse, load
from sql.statements import quote_table

COMMANDS = "backfill_commands"


def write_commands(
    warehouse: Warehouse, dataset: str, run_id: str, pipeline: str, given: Sequence[Command]
) -> None:
    """Write the commands of an ended run, in place of those there. Raises `WarehouseError`."""
    if not given:
        return
    warehouse.run(
        load("history/commands").format(commands=quote_table(f"{dataset}.{COMMANDS}")),
        {
            "run_id": run_id,
            "pipeline": pipeline,
            "numbers": [*range(1, len(given) + 1)],
            "texts": [each.text for each in given],
            "bys": [each.by for each in given],
            "logins": [each.login for each in given],
            "hosts": [each.host for each in given],
            "folders": [each.folder for each in given],
            "ats_ms": [round(each.at.timestamp() * 1000) for each in given],
            "versions": [each.version for each in given],
        },
    )
