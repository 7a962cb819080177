"""Reads the coverage of a pipeline's tables from the warehouse and judges it.

One query per dataset, one per table, and one more per table that differs from what it is measured
by. An error of the warehouse is an error, never a gap: nothing is judged unless every table
answered.
"""

from __future__ import annotations

from collections.abc import Callable

from planner.evidence.audits import check_judgeable
from planner.evidence.evidence import IDS_NAMED
from planner.evidence.expectations import listings
from planner.evidence.read import complete_evidence
from planner.evidence.table_reads import compared_always
from planner.gaps.assess import assess
from planner.gaps.gaps import Assessment
from planner.gaps.stale import with_stale
from planner.pipeline.closing import Closing
from planner.pipeline.lookback import with_lookback
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Window
from sql.counting import count
from sql.errors import WarehouseRefused
from sql.warehouse import Warehouse


def survey(
    warehouse: Warehouse,
    pipeline: Pipeline,
    scope: Window,
    *,
    stale: bool = False,
    ids_named: int = IDS_NAMED,
    closing: Closing | None = None,
    on_table: Callable[[str], None] = lambda table: None,
    on_note: Callable[[str], None] = lambda text: None,
) -> Assessment:
    """Judge `scope`, and as far around it as its lookback windows reach.

    With `stale`, also by the times at which partitions were written. Days that `closing` calls open
    are left; without it, every day has long been over. `on_note` hears of what is
    odd: rows without a date, tables that cannot be looked into. Raises `sql.WarehouseError`.
    """
    window = with_lookback(pipeline, scope)
    tables = [spec.table for spec in pipeline.tables]
    check_judgeable(warehouse, pipeline)
    found = count(warehouse, tables, window.start, window.end, on_table=on_table)
    for text in found.notes:
        on_note(text)
    evidence = complete_evidence(
        warehouse, pipeline, found.coverage, list(pipeline.by_name), window, ids_named=ids_named
    )
    assessment = assess(pipeline, evidence, window, closing=closing)
    if not stale:
        return assessment
    if found.unread is not None:
        raise WarehouseRefused(
            f"{found.unread} --stale needs the times at which partitions were written: without "
            "it, gaps are found all the same."
        )
    for table in tables:
        if table.name not in found.modified:
            on_note(
                f"{table.name}: nothing tells when single dates of {table.date} were written "
                "(a view, or not partitioned by day by it): it is never stale"
            )
    return with_stale(pipeline, assessment, found.modified)


def bytes_to_count(warehouse: Warehouse, pipeline: Pipeline, scope: Window) -> int | None:
    """What a survey of `scope` would be billed at most; None where nothing is billed."""
    window = with_lookback(pipeline, scope)
    tables = [spec.table for spec in pipeline.tables]
    tables += [
        each.counted for each in listings(pipeline, {table.name: {} for table in tables}).values()
    ]
    tables += [spec.table for spec in compared_always(pipeline, [*pipeline.by_name])]
    return warehouse.bytes_to_count(tables, window.start, window.end)
