"""Lists of days as people write them: `2026-03-01..2026-03-07, 2026-03-11`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from planner.pipeline.windows import Window
from planner.text import WORD_CHARS

BETWEEN = ".."


def _windows(data: Any) -> Any:
    if isinstance(data, date):
        return _read([data])
    if isinstance(data, str):
        return _read(data.split(","))
    if isinstance(data, (list, tuple)):
        return _read(data)
    raise ValueError('write dates as "2026-03-01..2026-03-07, 2026-03-11", or as a list of them')


def _read(parts: list[Any] | tuple[Any, ...]) -> list[Any]:
    return [found for part in parts for found in _each(part)]


def _each(part: Any) -> Iterator[Any]:
    if type(part) is date:
        yield Window(start=part, end=part)
    elif isinstance(part, str):
        for text in part.split(","):
            first, between, last = (word.strip() for word in text.partition(BETWEEN))
            yield Window(start=_day(first), end=_day(last if between else first))
    else:
        yield part  # a window already, or what is refused by its type


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(
            f"{text[:WORD_CHARS]!r} is no date: write 2026-03-11, or 2026-03-01..2026-03-07"
        ) from None


DayList = Annotated[tuple[Window, ...], BeforeValidator(_windows), Field(min_length=1)]
"""Days and ranges of days, each with both ends included."""
