"""Whether ids that are compared ever meet: two sources may name one thing differently."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from planner.doctor.tables import Check
from planner.errors import BadPipeline
from planner.evidence.evidence import Evidence
from planner.evidence.read import read_evidence
from planner.pipeline.calendar import Calendar
from planner.pipeline.measures import Place
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Window, moved
from sql import WarehouseError
from sql.warehouse import Warehouse

DAYS = 30  # at the end of what the calendar covers: enough to meet, and few bytes to read


def check_ids(warehouse: Warehouse, pipeline: Pipeline, *, today: date) -> Iterator[Check]:
    """A failed check for each table and entity whose ids were never found upstream.

    Tables that cannot be counted, and audits that cannot be run, yield nothing here: their own
    checks say why.
    """
    end = min(today, Calendar(pipeline=pipeline).last or today)
    window = Window(start=moved(end, -DAYS), end=end)
    try:
        evidence = read_evidence(warehouse, pipeline, list(pipeline.by_name), window)
    except (BadPipeline, WarehouseError):
        return
    for (place, entity), others in pipeline.measures.items():
        if others and pipeline.by_ids(entity) and _never_meet(evidence, place, entity, window):
            names = ", ".join(dict.fromkeys(table for _, table in others))
            yield Check(
                what=f"{place[0]}: {place[1]}",
                ok=False,
                detail=f"none of its {entity}s from {window.start} to {window.end} is in {names}",
                advice=f"if they name one {entity} differently, say "
                f'compare = {{ {entity} = "count" }} in the pipeline file',
            )


def _never_meet(evidence: Evidence, place: Place, entity: str, window: Window) -> bool:
    """Whether both sides hold ids on some dates, and share none on any."""
    apart = evidence.differences.get(place, {})
    shared: list[bool] = []
    for day in window.days():
        held = evidence.cell(place[1], day).entities.get(entity, 0)
        difference = apart.get((day, entity))
        if held and difference is None:
            return False  # alike, or nothing is due
        if held and difference is not None and difference.lacking:
            shared.append(held > difference.surplus)
    return bool(shared) and not any(shared)
