"""Time zones by their IANA names: whose midnight ends a day."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator

from planner.text import WORD_CHARS


def _known(value: str) -> str:
    try:
        ZoneInfo(value)
    except (KeyError, OSError, ValueError):  # not there, a folder, no name at all
        near = get_close_matches(value[:WORD_CHARS], available_timezones(), n=1)
        hint = f"did you mean {near[0]!r}?" if near else "write an IANA name, as Europe/Berlin"
        raise ValueError(f"{value[:WORD_CHARS]!r} is no time zone; {hint}") from None
    return value


TimeZone = Annotated[str, AfterValidator(_known)]
