"""The commands that touched a run, in the warehouse's history: `backfill_commands`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sql import Warehouse, load
from sql.statements import quote_table

if TYPE_CHECKING:
    from planner.report.report import Report

COMMANDS = "backfill_commands"


def write_commands(warehouse: Warehouse, dataset: str, report: Report) -> None:
    """Write the commands of an ended run, in place of those there. Raises `WarehouseError`."""
    given = report.commands
    if not given:
        return
    warehouse.run(
        load("history/commands").format(commands=quote_table(f"{dataset}.{COMMANDS}")),
        {
            "run_id": report.run_id,
            "pipeline": report.pipeline,
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
