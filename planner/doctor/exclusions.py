"""Whether the tables that list excluded days are there, and hold days."""

from __future__ import annotations

from collections.abc import Iterator

from planner.doctor.tables import Check
from planner.errors import BadPipeline
from planner.evidence.excluded_days import check_listed
from planner.pipeline.pipeline import Pipeline
from sql import WarehouseError
from sql.warehouse import Warehouse


def check_exclusions(warehouse: Warehouse, pipeline: Pipeline) -> Iterator[Check]:
    """One check per exclusion that takes its days from a table."""
    for part in pipeline.exclude:
        if part.from_ is None:
            continue
        what = f"exclusion: {part.from_.table}"
        try:
            check_listed(warehouse, part.from_)
        except (BadPipeline, WarehouseError) as error:
            yield Check(what=what, ok=False, detail=str(error), advice="correct it")
        else:
            yield Check(what=what, ok=True, detail=part.reason)
