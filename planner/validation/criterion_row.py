"""How a success criterion stands, for reports and results; `planner.validation.judge` makes it."""

from __future__ import annotations

from datetime import date
from typing import Literal

from planner.data import Data

Status = Literal["holds", "fails", "no rows", "not judged"]
"""`no rows` is no success. `not judged`: the scope does not hold what it takes."""


class CriterionRow(Data):
    """How one criterion stands in one season."""

    criterion: str
    season: str
    status: Status
    expected: int
    """Entities, dates or rows, as the criterion counts."""
    found: int
    offending: int
    """How many dates fall short."""
    dates: tuple[date, ...]
    """The first ten of them."""
