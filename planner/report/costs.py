"""What ended runs were billed, in the warehouse's history: `backfill_costs` by phase, and
`backfill_step_costs` by step."""

from __future__ import annotations

from planner.report.report import Report, billed_phases
from sql import Warehouse, load
from sql.statements import quote_table
from sql.warehouse import Parameters

COSTS, STEP_COSTS = "backfill_costs", "backfill_step_costs"


def write_costs(warehouse: Warehouse, dataset: str, report: Report) -> None:
    """Write what an ended run was billed, by phase and by step; nothing where it was billed
    nothing. The counts at the end are of no phase. Raises `WarehouseError`."""
    if report.billed is None:
        return
    phases = billed_phases(report)
    per_byte = report.billed.dollars / report.billed.bytes
    told: Parameters = {"run_id": report.run_id, "ended_ms": round(report.ended * 1000)}
    warehouse.run(
        load("history/costs").format(costs=quote_table(f"{dataset}.{COSTS}")),
        {
            **told,
            "phases": [*phases],
            "bytes": [*phases.values()],
            "dollars": [billed * per_byte for billed in phases.values()],
        },
    )
    begun = [row for row in report.steps if row.billed]
    if not begun:
        return
    warehouse.run(
        load("history/step_costs").format(step_costs=quote_table(f"{dataset}.{STEP_COSTS}")),
        {
            **told,
            "steps": [row.id for row in begun],
            "phases": [row.phase for row in begun],
            "bytes": [row.billed for row in begun],
            "labelled": [row.labelled for row in begun],
            "dollars": [row.billed * per_byte for row in begun],
            "unknown": [report.unbilled.get(row.phase, "") for row in begun],
        },
    )
