"""Builds a warehouse of the shipped `shop`, without a gap, and makes holes in it in every grain."""

from __future__ import annotations

import random
from datetime import date, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
from deltalake import write_deltalake

from planner.errors import UsageError
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Window
from planner.sandbox.build import require_empty
from planner.sandbox.punch import Hole, column_of, delete_rows, ids_of
from planner.sandbox.receipts import opening_hours, receipts
from sql import Warehouse, load
from sql.local import LocalWarehouse

HOURS = "shop_raw.opening_hours"
RECEIPTS = "shop_raw.receipts"

_PAST = timedelta(days=90)  # three whole months or more
_AHEAD = timedelta(days=28)  # which opening hours are known


def build_shop(
    folder: Path, pipeline: Pipeline, *, until: date, since: date | None = None, seed: int = 1
) -> None:
    """Fill a new warehouse in `folder`: receipts until a day, then every day, week and month that
    is over by then. Without `since` they begin with a month, three months before or more.

    Raises `UsageError` when the folder holds something or `until` is before the shop opened, and
    `sql.WarehouseError`.
    """
    first = since or first_day(pipeline, until)
    if until < first:
        raise UsageError(f"The shop opened on {first}: name a later day than {until}.")
    require_empty(folder)
    folder.mkdir(parents=True, exist_ok=True)
    warehouse, days = LocalWarehouse(folder), Window(start=first, end=until)
    try:
        for name in [HOURS, *(spec.name for spec in pipeline.tables)]:
            warehouse.run(load(f"shop/create/{name.rpartition('.')[2]}"), {})
        ahead = Window(start=first, end=until + _AHEAD)
        _append(folder, HOURS, opening_hours(ahead))
        _append(folder, RECEIPTS, receipts(days, ZoneInfo(pipeline.timezone), seed=seed))
        for phase in pipeline.phases:
            over = [day for day in phase.grain.dates(days) if phase.grain.period(day).end <= until]
            for runner in phase.runners if over else ():
                span = {"start_date": over[0], "end_date": over[-1]}
                for statement in runner.statement_names:
                    warehouse.run(load(statement), span)
    finally:
        warehouse.close()


def first_day(pipeline: Pipeline, until: date) -> date:
    """The first day of a shop's receipts, by default."""
    return max((until - _PAST).replace(day=1), pipeline.start or date.min)


def punch_shop(warehouse: Warehouse, pipeline: Pipeline, *, seed: int, holes: int) -> list[Hole]:
    """Make random holes: days, weeks and months in turn, whole ones or a single store of one.

    The same seed makes the same ones. Raises `UsageError` when a phase has fewer dates than
    holes, and `sql.WarehouseError`.
    """
    rng, made = random.Random(seed), []
    phases = [phase for phase in pipeline.phases if not phase.is_source]
    for place, phase in enumerate(phases):
        (spec,) = phase.tables
        wanted = len(range(place, holes, len(phases)))
        days = sorted(warehouse.coverage(spec.table, date.min, date.max))
        if wanted > len(days):
            raise UsageError(f"{wanted} holes are more than the {len(days)} dates of {phase.name}.")
        for day in sorted(rng.sample(days, wanted)):
            stores = ids_of(warehouse, spec, pipeline.entity, day)
            chosen = [rng.choice(stores)] if rng.choice((True, False)) else stores
            column = column_of(spec, pipeline.entity)
            made.append(
                Hole(
                    phase=phase.name,
                    tables=(spec.name,),
                    start=day,
                    end=day,
                    entity=str(chosen[0]) if chosen != stores else None,
                    rows=delete_rows(warehouse, spec, day, day, column, chosen),
                )
            )
    return made


def _append(folder: Path, table: str, rows: pa.Table) -> None:
    """Rows from outside the warehouse come in as files; there is no SQL for that."""
    write_deltalake(folder.joinpath(*table.split(".")), rows, mode="append")
