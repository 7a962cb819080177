"""Fills the sandbox's tables, phase after phase, with the statements in `sql/sandbox/fill/`.

A statement replaces the rows of some dates in one commit. It gives the same rows for a date
whether it is run over that date or over a season.
"""

from __future__ import annotations

import logging
from datetime import date
from threading import Event

from planner.sandbox.faults import faults_of, suffer
from planner.sandbox.seasons import DAY, after_bootstrap
from sql import Warehouse, load

log = logging.getLogger(__name__)

PHASES = {
    "analytics": ("player_game_summary",),
    "precompute": (
        "team_defense_zone_analysis",
        "player_shot_zone_analysis",
        "player_composite_factors",
        "player_daily_cache",
        "ml_feature_store",
    ),
    "predictions": ("player_prop_predictions",),
    "grading": ("prediction_accuracy",),
}
"""Phase → its tables, in the order in which they are filled. A statement has its table's name."""

_NO_BOOTSTRAP = frozenset({"analytics"})


def rebuild(warehouse: Warehouse, phase: str, table: str, start: date, end: date) -> int:
    """Replace the table's rows of the dates; how many there are now."""
    spans = [(start, end)] if phase in _NO_BOOTSTRAP else after_bootstrap(start, end)
    return sum(
        warehouse.run(load(f"sandbox/fill/{table}"), {"start_date": first, "end_date": last})
        for first, last in spans
    )


def fill(
    warehouse: Warehouse, phase: str, table: str, start: date, end: date, *, stop: Event
) -> None:
    """As `rebuild`, but as jobs do it: it logs what it did, and suffers the faults asked for.

    Raises `planner.sandbox.faults.Crashed`.
    """
    wanted = faults_of(phase, table)
    for day in sorted(day for day in wanted if start <= day <= end):
        if start < day:
            fill(warehouse, phase, table, start, day - DAY, stop=stop)
        suffer(wanted[day], f"{table} on {day}", stop)
        start = day + DAY
    if start <= end:
        rows = rebuild(warehouse, phase, table, start, end)
        log.info("%s %s to %s: %s rows", table, start, end, rows)
