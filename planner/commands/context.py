"""What commands work with: settings, pipeline, warehouse and, where it answers, the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.commands.output import err, note
from planner.gaps import Health
from planner.pipeline import Window
from planner.settings import Settings, load_settings, masked
from planner.survey import survey

if TYPE_CHECKING:
    from worker.fleet import Fleet
    from worker.ledger import Ledger


def open_fleet(settings: Settings | None = None) -> Fleet:
    """The parts, for a person who waits: calls to Redis give up soon."""
    from worker.fleet import Fleet

    return Fleet(settings or load_settings(), patient=False)


def required_ledger(fleet: Fleet) -> Ledger:
    """The ledger. Raises `Unreachable` when Redis does not answer."""
    from worker.connection import require

    require(fleet.redis, fleet.settings)
    return fleet.ledger


def ledger_if_any(fleet: Fleet) -> Ledger | None:
    """The ledger, or None with a note: the warehouse alone says what is missing."""
    from planner.errors import Unreachable

    try:
        return required_ledger(fleet)
    except Unreachable:
        where = masked(fleet.settings.broker_url)
        note(f"The broker ({where}) does not answer, so nothing is known to be in flight.")
        return None


def read_health(fleet: Fleet, scope: Window) -> Health:
    """Count every table, with a word on standard error while that takes its time."""
    with err.status("Counting …") as status:
        return survey(
            fleet.warehouse,
            fleet.pipeline,
            scope,
            on_table=lambda table: status.update(f"Counting {table} …"),
        )
