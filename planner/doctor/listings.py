"""Whether the tables that list days are there, with the columns that `expects` names."""

from __future__ import annotations

from collections.abc import Iterator

from planner.doctor.tables import Check
from planner.evidence.expectations import listings
from planner.pipeline.expects import Listing
from planner.pipeline.pipeline import Pipeline
from planner.text import nearest
from sql import Coverage, WarehouseError
from sql.warehouse import Warehouse


def check_listings(warehouse: Warehouse, pipeline: Pipeline) -> Iterator[Check]:
    """One check per table that lists days."""
    counted: dict[str, Coverage] = {spec.name: {} for spec in pipeline.tables}
    for listing in listings(pipeline, counted).values():
        yield _check(warehouse, listing)


def _check(warehouse: Warehouse, listing: Listing) -> Check:
    what = f"expects: {listing.table}"
    try:
        columns = warehouse.columns(listing.table)
    except WarehouseError as error:
        return Check(what=what, ok=False, detail=str(error), advice="see what it says")
    known = {name.lower(): kind for name, kind in columns.items()}
    for name in (listing.date, *listing.where, *listing.entities.values()):
        if name.lower() not in known:
            return Check(
                what=what,
                ok=False,
                detail=f"it has no column {name!r}",
                advice=f"correct the pipeline file: {nearest(name, sorted(columns))}",
            )
    kind = known[listing.date.lower()]
    if kind != "DATE":
        return Check(
            what=what,
            ok=False,
            detail=f"it lists days by {listing.date!r}, which is a {kind}",
            advice="name a DATE column, or a view that has one",
        )
    return Check(what=what, ok=True, detail=f"lists days by {listing.date}")
