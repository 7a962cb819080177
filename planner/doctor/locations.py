"""Whether a pipeline's tables are in one location."""

from __future__ import annotations

from collections.abc import Iterator

from planner.doctor.tables import Check
from planner.pipeline.pipeline import Pipeline
from sql import WarehouseError
from sql.warehouse import Warehouse


def check_locations(warehouse: Warehouse, pipeline: Pipeline) -> Iterator[Check]:
    """One check where datasets are in several locations; none where they are in one, or in none.

    A table that cannot be described is told of by the check of that table.
    """
    places: dict[str, list[str]] = {}
    for dataset, table in {s.name.rpartition(".")[0]: s.name for s in pipeline.tables}.items():
        try:
            place = warehouse.location(table)
        except WarehouseError:
            continue
        if place is not None:
            places.setdefault(place, []).append(dataset)
    if len(places) > 1:
        yield Check(
            what="locations",
            ok=True,
            detail="; ".join(f"{place}: {', '.join(places[place])}" for place in sorted(places)),
            warning="each table is counted where it is; a statement that reads tables of two is "
            "refused: let a script or a service fill such a phase",
        )
