"""What made each date, in the warehouse's history: `backfill_made`, read by `--changed`.

Planners and workers on other machines have other homes; this they share. Without the table, which
histories of before lack, the home alone is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.plan.made import Fingerprint, Made, MadeBy
from sql import TableNotFound, Warehouse, load
from sql.statements import quote_table

if TYPE_CHECKING:
    from planner.pipeline.windows import Window

MADE = "backfill_made"


def write_made(warehouse: Warehouse, dataset: str, made: Made) -> None:
    """Write a run's rows, in place of those that may be there. Raises `WarehouseError`."""
    rows = [
        (each.fingerprint, phase, day)
        for each in made.made
        for phase, days in each.dates.items()
        for day in days
    ]
    if not rows:
        return
    warehouse.run(
        load("history/made").format(**_names(dataset)),
        {
            "run_id": made.run_id,
            "pipeline": made.pipeline,
            "ended_ms": round(made.ended * 1000),
            "phases": [phase for _, phase, _ in rows],
            "dates": [day for _, _, day in rows],
            "versions": [found.version for found, _, _ in rows],
            "runners": [found.runner for found, _, _ in rows],
            "statements": [found.statements for found, _, _ in rows],
            "codes": [found.code for found, _, _ in rows],
        },
    )


def read_made(warehouse: Warehouse, dataset: str, *, pipeline: str, scope: Window) -> list[Made]:
    """What runs noted of a pipeline's dates, from any machine. Raises `WarehouseError`."""
    try:
        rows = warehouse.rows(
            load("history/made_of").format(**_names(dataset)),
            {"pipeline": pipeline, "start_date": scope.start, "end_date": scope.end},
        )
    except TableNotFound:
        return []
    return [
        Made(
            run_id=row["run_id"],
            pipeline=pipeline,
            warehouse=warehouse.name,
            ended=row["ended_ms"] / 1000,
            made=(
                MadeBy(
                    fingerprint=Fingerprint(**{n: row[n] for n in Fingerprint.model_fields}),
                    dates={row["phase"]: (row["date"],)},
                ),
            ),
        )
        for row in rows
    ]


def _names(dataset: str) -> dict[str, str]:
    return {"made": quote_table(f"{dataset}.{MADE}")}
