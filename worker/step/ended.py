"""How an attempt at a step ended, where its runner did not say that it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Ended:
    """Every range has run, and the recount has spoken. Date → what is wrong with it."""

    done: tuple[date, ...]
    short: dict[date, str] = field(default_factory=dict)
    """A retry may help."""
    permanent: dict[date, str] = field(default_factory=dict)
    """A permanent error, which no retry can help: these are quarantined."""
    blocked: dict[date, str] = field(default_factory=dict)
    """Something they need is not there."""
    checkpoint: dict[str, Any] = field(default_factory=dict)
    """For the next attempt."""
    remarks: Mapping[date, str] = field(default_factory=dict)
    """What to know of dates that are done."""
    counts: Mapping[date, tuple[int, int]] = field(default_factory=dict)
    """Date → entities that were due, and that were there, at the recount."""


@dataclass(frozen=True, kw_only=True)
class OverBudget:
    """A table may not be written to so often today: what is left is requeued without a lease."""

    why: str
    seconds: float
    """Until there is room."""
    checkpoint: dict[str, Any]
