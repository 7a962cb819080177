"""Days as people say them: `today`, `yesterday`, `last 30 days`. Never in a file, where they would
mean other days tomorrow."""

from __future__ import annotations

import re
from datetime import date, timedelta
from typing import TYPE_CHECKING

from planner import clock
from planner.pipeline.days import DAYS_MAX

if TYPE_CHECKING:
    from planner.pipeline.windows import Window

_LAST = re.compile(r"last\s+(\d{1,5})\s+(day|week)s?", re.ASCII | re.IGNORECASE)
_AGO = {"today": 0, "yesterday": 1}
_DAYS = {"day": 1, "week": 7}


def spoken(text: str) -> Window | None:
    """The days that are meant, in the pipeline's time zone; None for what is written otherwise.

    The last days end with today. Raises `ValueError` for no days or too many, and `BadPipeline`
    where no file says whose days they are.
    """
    word = text.strip().lower()
    found = _LAST.fullmatch(word)
    if found is not None:
        count = int(found[1]) * _DAYS[found[2]]
        if not 0 < count <= DAYS_MAX:
            raise ValueError(f"{text.strip()!r}: name 1 to {DAYS_MAX:,} days")
        return _ending(count, ago=0)
    return _ending(1, ago=_AGO[word]) if word in _AGO else None


def _ending(count: int, *, ago: int) -> Window:
    """So many days, the last of them some days ago."""
    from planner.pipeline.windows import Window

    last = _today() - timedelta(days=ago)
    return Window(start=last - timedelta(days=count - 1), end=last)


def _today() -> date:
    from planner.pipeline.closing import Closing
    from planner.pipeline.load import load_pipeline
    from planner.settings import load_settings

    return Closing(pipeline=load_pipeline(load_settings().pipeline), now=clock.now()).today
