"""Open gaps as figures: how many per phase and reason, and how old the oldest is. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import date

from planner.gaps.gaps import Assessment
from planner.pipeline.windows import Window


@dataclass(frozen=True, kw_only=True)
class Gauge:
    """Dates of one phase that are short for one reason."""

    phase: str
    reason: str
    dates: int
    oldest: date


def gauges(assessment: Assessment, scope: Window) -> list[Gauge]:
    """The gaps of a scope, counted. What cannot be judged is none, and is counted apart."""
    found: Counter[tuple[str, str]] = Counter()
    oldest: dict[tuple[str, str], date] = {}
    for phase, gaps in assessment.gaps.items():
        for day, gap in gaps.items():
            if day in scope:
                key = (phase, str(gap.reason))
                found[key] += 1
                oldest[key] = min(oldest.get(key, day), day)
    return [
        Gauge(phase=phase, reason=reason, dates=count, oldest=oldest[phase, reason])
        for (phase, reason), count in sorted(found.items())
    ]
