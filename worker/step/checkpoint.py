"""The checkpoint of an attempt: what it has to know when it goes on after a pause."""

from __future__ import annotations

from datetime import date
from typing import Any

from pydantic import AliasChoices, BaseModel, Field

from worker.step.recount import Versions

Range = tuple[date, ...]
"""Dates that are run together, in order."""


class Checkpoint(BaseModel):
    """JSON in the ledger while a step is parked."""

    versions: Versions | None = None
    """Of the rows that have to be written anew, when the step began."""
    left: list[Range] | None = None
    """What is still to run."""
    reached: int = 0
    """Tables that were filled when the first of `left` last ended partway."""
    errors: dict[date, str] = {}
    """Date → the runner's error."""
    notes: dict[date, str] = {}
    """Date → the note of a runner that reported no error."""
    # Bridge: checkpoints that were written before version 0.2 call it `hopeless`.
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
    which: int | None = None
    """The runner that was chosen."""
    runner: dict[str, Any] = {}
    """The runner's own checkpoint."""

    def as_json(self) -> dict[str, Any]:
        """As the ledger keeps it."""
        return self.model_dump(mode="json")
