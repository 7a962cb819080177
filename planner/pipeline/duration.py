"""Durations as people write them: `6h`, `1d12h`, `90m`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer

_PARTS = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", re.ASCII)
DAYS_MAX = 366


def seconds_of(text: str) -> int:
    """A duration in seconds. Raises `ValueError` for what is none, and for more than a year."""
    found = _PARTS.fullmatch(text.strip())
    is_written = found is not None and any(found.groups())
    parts = (
        (int(n or 0) for n in found.groups()) if found and is_written else (DAYS_MAX + 1, 0, 0, 0)
    )
    days, hours, minutes, seconds = parts
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if total > DAYS_MAX * 86_400:
        raise ValueError(f"{text!r} is no time: write 6h, 1d12h or 90m, up to {DAYS_MAX}d")
    return total


def _read(value: Any) -> Any:
    if isinstance(value, str):
        return timedelta(seconds=seconds_of(value))
    if isinstance(value, timedelta):
        return value
    raise ValueError(f'{value!r} is no time: write it as text, such as "6h"')


def _written(value: timedelta) -> str:
    return f"{round(value.total_seconds())}s"


Duration = Annotated[timedelta, BeforeValidator(_read), PlainSerializer(_written, return_type=str)]
