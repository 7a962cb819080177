"""Reads the coverage of a pipeline's tables from the warehouse and judges it.

One query per table. An error of the warehouse is an error, never a gap: nothing is judged
unless every table answered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from planner.gaps import Health, assess
from planner.pipeline import Pipeline, Window
from planner.repair import with_lookback
from sql.warehouse import Coverage, Warehouse


def read_coverage(
    warehouse: Warehouse,
    pipeline: Pipeline,
    window: Window,
    *,
    on_table: Callable[[str], None] = lambda table: None,
) -> Mapping[str, Coverage]:
    """Table name → coverage over `window`. Raises `sql.WarehouseError`."""
    coverage = {}
    for phase in pipeline.phases:
        for spec in phase.tables:
            on_table(spec.name)
            if spec.name not in coverage:
                coverage[spec.name] = warehouse.coverage(spec.table, window.start, window.end)
    return coverage


def survey(
    warehouse: Warehouse,
    pipeline: Pipeline,
    scope: Window,
    *,
    on_table: Callable[[str], None] = lambda table: None,
) -> Health:
    """Judge `scope`, and as far around it as its lookback windows reach."""
    window = with_lookback(pipeline, scope)
    return assess(pipeline, read_coverage(warehouse, pipeline, window, on_table=on_table), window)
