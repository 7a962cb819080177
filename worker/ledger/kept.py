"""The ledger of what a run found before it wrote, and of what it left: what a restore goes by.

    run:ID:kept       hash    `phase|table|date` → what it held, and where that is kept
    run:ID:left       hash    `phase|table|date` → the mark of the rows that the run left

Kept with the run, for as long as the ledger keeps it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from pydantic import Field

from planner.data import Data
from worker.ledger.connection import Connected
from worker.ledger.keys import run_key
from worker.ledger.record import reading

Place = tuple[str, str, date]
"""Phase, table and date."""


class Kept(Data):
    """What a table held on a date before the run wrote it for the first time."""

    rows: int
    fingerprints: dict[str, int] = Field(default_factory=dict)
    place: str = ""
    """Where the warehouse keeps the rows. Empty: it held none, or they are not kept."""
    not_kept: str = ""
    """Why they are not."""

    @property
    def is_kept(self) -> bool:
        """Whether the date can be as it was again; for one without rows nothing has to be kept."""
        return not self.not_kept


class Left(Data):
    """The mark of what a table held when the run had written it."""

    mark: str
    at: float
    """Seconds since the epoch, by Redis' clock."""


class KeptLedger(Connected):
    """Reads and writes what was kept."""

    def kept(self, run_id: str) -> dict[Place, Kept]:
        """All that a run found before it wrote."""
        with reading(f"what {run_id} kept"):
            found = self._hash(run_key(run_id, "kept"))
            return {_place(key): Kept.model_validate_json(text) for key, text in found.items()}

    def kept_of(self, run_id: str, places: Iterable[Place]) -> dict[Place, Kept]:
        """Of some places, what is kept."""
        asked = list(places)
        if not asked:
            return {}
        with reading(f"what {run_id} kept"):
            found = self.client.hmget(run_key(run_id, "kept"), [*map(_field, asked)])
            return {
                place: Kept.model_validate_json(str(text))
                for place, text in zip(asked, found, strict=True)
                if text is not None
            }

    def note_kept(self, run_id: str, found: Mapping[Place, Kept]) -> None:
        """Note what is kept; what a run noted of a place before stays: it has written since."""
        pipe = self.client.pipeline(transaction=False)
        for place, kept in found.items():
            pipe.hsetnx(run_key(run_id, "kept"), _field(place), kept.model_dump_json())
        pipe.execute()

    def left(self, run_id: str) -> dict[Place, Left]:
        """The marks of what a run left, where it came to note them."""
        with reading(f"what {run_id} left"):
            found = self._hash(run_key(run_id, "left"))
            return {_place(key): Left.model_validate_json(text) for key, text in found.items()}

    def note_left(self, run_id: str, found: Mapping[Place, Left]) -> None:
        """Note the marks of what a run left."""
        if found:
            fields = [(_field(place), left.model_dump_json()) for place, left in found.items()]
            self.client.hset(
                run_key(run_id, "left"), items=[word for pair in fields for word in pair]
            )


def _field(place: Place) -> str:
    phase, table, day = place
    return f"{phase}|{table}|{day}"


def _place(field: str) -> Place:
    phase, table, day = field.split("|")
    return phase, table, date.fromisoformat(day)
