"""Lists of days as people write them: `2026-03-01..2026-03-07, 2026-03-11`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from planner.pipeline.windows import Window
from planner.text import WORD_CHARS

BETWEEN = ".."
DAYS_MAX = 36_600  # a century: a range that is longer is a slip of the keyboard

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


def day_of(text: str) -> date:
    """A date as people write it. Raises `ValueError` for what is none."""
    try:
        if _DAY.fullmatch(text):  # ISO knows more ways to write one
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise ValueError(f"{text[:WORD_CHARS]!r} is no date: write YYYY-MM-DD")


def windows_of(text: str) -> Iterator[Window]:
    """Days and ranges with commas between, both ends included. Raises `ValueError`."""
    for part in text.split(","):
        first, between, last = (word.strip() for word in part.partition(BETWEEN))
        start = day_of(first)
        end = day_of(last) if between else start
        if end < start:
            raise ValueError(f"{part.strip()!r} is reversed: write the first date first")
        if (end - start).days >= DAYS_MAX:
            raise ValueError(f"{part.strip()!r} is more than {DAYS_MAX:,} dates")
        yield Window(start=start, end=end)


def _windows(data: Any) -> Any:
    if isinstance(data, (date, str)):
        return _read([data])
    if isinstance(data, (list, tuple)):
        return _read(data)
    raise ValueError('write dates as "2026-03-01..2026-03-07, 2026-03-11", or as a list of them')


def _read(parts: list[Any] | tuple[Any, ...]) -> list[Any]:
    return [found for part in parts for found in _each(part)]


def _each(part: Any) -> Iterator[Any]:
    if type(part) is date:
        yield Window(start=part, end=part)
    elif isinstance(part, str):
        yield from windows_of(part)
    else:
        yield part  # a window already, or what is refused by its type


DayList = Annotated[tuple[Window, ...], BeforeValidator(_windows), Field(min_length=1)]
"""Days and ranges of days, each with both ends included."""
