"""Time zones by their IANA names: whose midnight ends a day."""

from __future__ import annotations

from typing import Annotated, Self
from zoneinfo import available_timezones

from pydantic import AfterValidator, PrivateAttr

from planner.pipeline.model import Model
from planner.text import WORD_CHARS, nearest

NO_PLACES = {"Factory", "localtime"}
"""Names of which it differs from machine to machine what they are."""


def _known(value: str) -> str:
    known = available_timezones() - NO_PLACES
    if value not in known:
        hint = nearest(value, sorted(known))
        if not hint.endswith("?"):  # it names them all
            hint = "write one such as America/New_York"
        raise ValueError(f"there is no time zone {value[:WORD_CHARS]!r}; {hint}")
    return value


TimeZone = Annotated[str, AfterValidator(_known)]


class InZone(Model):
    """A part of the file that tells the days of moments, in a time zone that others hand to it."""

    _zone: str = PrivateAttr(default="UTC")

    def in_zone(self, zone: str) -> Self:
        """The same, with the time zone by which its moments are of a day."""
        other = self.model_copy()
        other._zone = zone
        return other
