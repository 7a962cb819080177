"""The shipped calendar as the sandbox's scripts know it: when seasons start, and nothing else.

The scripts are started hundreds of times, so this reads the file without the checked model of
`planner.pipeline.pipeline`, whose import alone costs more than a day's work.
"""

from __future__ import annotations

import tomllib
from datetime import date, timedelta
from functools import cache
from pathlib import Path

Span = tuple[date, date]
"""First and last date, both included."""

DAY = timedelta(days=1)

_FILE = Path(__file__).parents[1] / "pipeline" / "shipped" / "nba.toml"


@cache
def bootstraps() -> tuple[Span, ...]:
    """The first days of each season, on which rolling windows are not yet written."""
    calendar = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    days = calendar["bootstrap_days"]
    return tuple(
        (season["start"], season["start"] + (days - 1) * DAY) for season in calendar["seasons"]
    )


def after_bootstrap(start: date, end: date) -> list[Span]:
    """What is left of `start` to `end` without the seasons' first days."""
    spans = []
    for first, last in bootstraps():
        if start <= last and first <= end:
            if start < first:
                spans.append((start, first - DAY))
            start = last + DAY
    if start <= end:
        spans.append((start, end))
    return spans
