"""Judges the dates of a step by what the warehouse holds now: before it, in it and after it."""

from __future__ import annotations

from collections.abc import Collection

from planner import clock
from planner.evidence.evidence import Evidence
from planner.evidence.read import read_evidence
from planner.gaps.assess import assess
from planner.gaps.gaps import Assessment
from planner.pipeline.closing import Closing
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Window
from sql.warehouse import Warehouse


def judge(
    warehouse: Warehouse,
    pipeline: Pipeline,
    phases: Collection[str],
    window: Window,
    *,
    counted: Collection[str] = (),
) -> tuple[Evidence, Assessment]:
    """Count and judge some phases; days that are still open too, since a plan took them.

    One statement per table, and one more per table that differs. Of the phases `counted`, rows are
    counted too. Raises `sql.WarehouseError`.
    """
    evidence = read_evidence(warehouse, pipeline, phases, window, counted=counted)
    closing = Closing(pipeline=pipeline, now=clock.now(), include_open=True)
    return evidence, assess(pipeline, evidence, window, phases=phases, closing=closing)
