"""Which days around a date its rows are computed from."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from planner.pipeline.model import Model

DAYS_MAX = 3660  # ten years


class Reads(Model):
    """A window of days around a date, which holds the date itself."""

    model_config = ConfigDict(serialize_by_alias=True)  # `from` is a word of Python

    from_: int = Field(default=0, alias="from", ge=-DAYS_MAX, le=0)
    """The first day, counted from the date: 0 or negative."""
    to: int = Field(default=0, ge=0, le=DAYS_MAX)
    """The last day, counted from the date: 0 or positive."""
