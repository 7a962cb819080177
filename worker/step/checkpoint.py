"""The checkpoint of an attempt: what it has to know when it goes on after a pause."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date
from typing import Any

from pydantic import AliasChoices, BaseModel, Field, model_validator

from worker.step.before import Before

Range = tuple[date, ...]
"""Dates that are run together, in order."""


class Checkpoint(BaseModel):
    """JSON in the ledger while a step is parked."""

    before: Before | None = None
    """What its tables held when the step began."""
    is_kept: bool = False
    """Whether what its tables held before the run is kept, as far as the run keeps it."""
    upstream: dict[date, str] = {}
    """Dates whose upstream turned out to be short when the attempt began, and why: not run."""
    own_word: set[date] = set()
    """Dates of which the runner said that nothing had to change."""
    left: list[Range] | None = None
    """What is still to run."""
    reached: int = 0
    """Tables that were filled when the first of `left` last ended partway."""
    errors: dict[date, str] = {}
    """Date → the runner's error."""
    notes: dict[date, str] = {}
    """Date → the note of a runner that reported no error."""
    remarks: dict[date, str] = {}
    """Date → what the report says of it once it is done. Kept for the next attempt."""
    made: dict[date, str] = {}
    """Date → what it is made by, from before it was run. Kept for the next attempt."""
    # Bridge: checkpoints that were written before 0.2 call it `hopeless`.
    permanent: set[date] = Field(
        default=set(), validation_alias=AliasChoices("permanent", "hopeless")
    )
    """Dates with a permanent error: a retry cannot help."""
    blocked: set[date] = set()
    """Dates for which something upstream is not there."""
    settle_seconds: float = 0.0
    """How long rows may take to appear after the last range."""
    settle_since: float | None = None
    """When waiting for them began; seconds since the epoch."""
    held_since: float | None = None
    """Since when the warehouse has refused for now; seconds since the epoch."""
    held_until: float = 0.0
    """Until when it is not asked again."""
    held_why: str = ""
    """What it said."""
    which: int | None = None
    """The runner that was chosen."""
    runner: dict[str, Any] = {}
    """The runner's own checkpoint."""

    @model_validator(mode="before")
    @classmethod
    def _versions_alone(cls, data: Any) -> Any:
        """Steps that began before 0.2 kept versions, and nothing else, of before."""
        if isinstance(data, dict) and data.get("versions") and "before" not in data:
            return {**data, "before": {"versions": data["versions"]}}
        return data

    def within(self, dates: Collection[date]) -> Checkpoint:
        """Without dates that are not the step's: Redis is not trusted to hold only those."""

        def own(told: dict[date, str]) -> dict[date, str]:
            return {day: text for day, text in told.items() if day in dates}

        ranges = [tuple(day for day in part if day in dates) for part in self.left or ()]
        return self.model_copy(
            update={
                "left": None if self.left is None else [part for part in ranges if part],
                "upstream": own(self.upstream),
                "errors": own(self.errors),
                "notes": own(self.notes),
                "remarks": own(self.remarks),
                "own_word": self.own_word & set(dates),
                "permanent": self.permanent & set(dates),
                "blocked": self.blocked & set(dates),
            }
        )

    def as_json(self) -> dict[str, Any]:
        """As the ledger keeps it."""
        return self.model_dump(mode="json")
