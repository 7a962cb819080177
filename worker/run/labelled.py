"""What scripts will be billed, by what the labelled jobs of earlier runs were per date."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from sql import WarehouseError
from sql.errors import AccessDenied
from sql.labels import SINCE_DAYS, Maker, billed_per_date
from sql.warehouse import Warehouse
from worker.step.context import Context


@dataclass(kw_only=True)
class Earlier:
    """What earlier jobs tell."""

    bytes: int = 0
    is_known: bool = False
    """Whether they tell of any phase."""
    unknown: dict[str, str] = field(default_factory=dict)
    """Phase → why they do not tell."""


def billed_before(context: Context, warehouse: Warehouse, dates: Mapping[Maker, int]) -> Earlier:
    """What so many dates of each phase's runner are billed, by one query per location."""
    earlier = Earlier()
    places: dict[str, dict[Maker, int]] = {}
    for (phase, runner), count in dates.items():
        of = context.pipeline.by_name[phase]
        kind = of.runners[runner - 1].kind
        if kind != "script":
            earlier.unknown[phase] = f"what a runner of kind {kind} reads is not told before"
            continue
        try:
            place = warehouse.location(of.tables[0].name)
        except WarehouseError as error:
            earlier.unknown[phase] = f"where its jobs ran is not told: {error}"
            continue
        if place is None:
            earlier.unknown[phase] = f"BigQuery does not tell the location of {of.tables[0].name}"
        else:
            places.setdefault(place, {})[phase, runner] = count
    for place, asked in places.items():
        _ask(context, warehouse, place, asked, earlier)
    return earlier


def _ask(
    context: Context,
    warehouse: Warehouse,
    place: str,
    dates: Mapping[Maker, int],
    earlier: Earlier,
) -> None:
    """Add what the jobs of one location tell."""
    phases = {phase for phase, _ in dates}
    try:
        found = billed_per_date(warehouse, place, context.pipeline.name, phases)
    except WarehouseError as error:
        told = f"what earlier jobs of its script were billed cannot be read: {error}"
        if isinstance(error, AccessDenied):
            told = f"{told} roles/bigquery.resourceViewer may read it."
        earlier.unknown |= dict.fromkeys(phases, told)
        return
    for (phase, runner), count in dates.items():
        if (phase, runner) in found:
            earlier.bytes += round(found[phase, runner] * count)
            earlier.is_known = True
        else:
            earlier.unknown[phase] = (
                f"no job of the last {SINCE_DAYS} days carries the labels of its script: "
                "BACKFILL_LABELS has them"
            )
