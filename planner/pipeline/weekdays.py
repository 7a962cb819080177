"""Weekdays as people write them: `monday`, or `mon`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

_SHORT_CHARS = 3

Name = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]

WEEKDAYS: tuple[Name, ...] = (
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
)
"""In the order of `date.weekday`."""


def _whole(value: Any) -> Any:
    return next((name for name in WEEKDAYS if name[:_SHORT_CHARS] == value), value)


Weekday = Annotated[Name, BeforeValidator(_whole)]
"""Kept in full, however it is written."""
