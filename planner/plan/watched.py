"""What phases without a runner lack, and which phases wait for it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import date
from typing import TYPE_CHECKING

from planner.gaps.gaps import SHORT, Assessment, Skipped, SkipReason
from planner.pipeline.lookback import upstream

if TYPE_CHECKING:
    from planner.pipeline.pipeline import Pipeline
    from planner.pipeline.windows import Window

Pair = tuple[str, date]
"""Phase and date."""


def watched(
    pipeline: Pipeline, assessment: Assessment, scope: Window, skipped: Iterable[Skipped]
) -> Iterator[Skipped]:
    """The gaps of phases that nothing here fills, with what they hold up.

    `skipped` are the dates that a plan leaves, in phase order.
    """
    gaps = {
        (phase.name, day): gap
        for phase in pipeline.phases
        if phase.is_watched
        for day, gap in sorted(assessment.gaps[phase.name].items())
        if gap.reason in SHORT
    }
    waiting = _waiting(pipeline, gaps, skipped)
    for (name, day), gap in gaps.items():
        if day in scope:
            names = waiting.get((name, day), {})
            wait = "wait" if len(names) > 1 else "waits"
            holds_up = f", and {', '.join(names)} {wait} for it" if names else ""
            yield Skipped(
                phase=name,
                date=day,
                reason=SkipReason.WATCHED,
                detail=f"{gap.detail}; {name} has no runner here{holds_up}",
            )


def _waiting(
    pipeline: Pipeline, gaps: Iterable[Pair], skipped: Iterable[Skipped]
) -> dict[Pair, dict[str, None]]:
    """Gap → the phases that are left because of it, directly or by way of others, in order."""
    causes: dict[Pair, set[Pair]] = {pair: {pair} for pair in gaps}
    found: dict[Pair, dict[str, None]] = {}
    for each in skipped:
        if each.reason is not SkipReason.UPSTREAM_MISSING:
            continue
        phase = pipeline.by_name[each.phase]
        own: set[Pair] = set()
        for pair in upstream(each.date, phase):
            own |= causes.get(pair, set())
        causes[each.phase, each.date] = own
        for cause in own:
            found.setdefault(cause, {})[each.phase] = None
    return found
