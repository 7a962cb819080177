"""Dates that are complete by count, and whose upstream was written after them. Pure.

The times are a hint: a partition's last write may have changed nothing, and a deletion may not move
it. So each is confirmed by the counts of the same survey: a date is stale only when its rows are
all there, and when what it is computed from still holds as many entities as it does.
Where the upstream holds fewer now, recomputing the date would lose rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, datetime

from planner.gaps.gaps import SHORT, Assessment, GapReason
from planner.pipeline.lookback import lookback
from planner.pipeline.phase import Phase
from planner.pipeline.pipeline import Pipeline

Modified = Mapping[str, Mapping[date, datetime]]
"""Table → date → last write, UTC. A table whose times cannot be told by date is absent."""


def with_stale(pipeline: Pipeline, assessment: Assessment, modified: Modified) -> Assessment:
    """`assessment`, with the dates whose upstream is newer than they are."""
    stale: dict[str, frozenset[date]] = {}
    doubtful: dict[str, frozenset[date]] = {}
    for phase in pipeline.phases:
        newer = {
            day
            for day in _full(assessment, phase.name)
            if day not in assessment.accepted.get(phase.name, ())
            and newer_upstream(pipeline, phase, day, modified) is not None
        }
        shrunk = {day for day in newer if _holds_more(pipeline, phase.name, day, assessment)}
        stale[phase.name] = frozenset(newer - shrunk)
        doubtful[phase.name] = frozenset(shrunk)
    return replace(assessment, stale=stale, doubtful=doubtful)


def _full(assessment: Assessment, phase: str) -> Iterator[date]:
    """Dates whose rows are all there, and of which upstream holds every id now."""
    yield from assessment.complete[phase]
    for day, gap in assessment.gaps[phase].items():
        if gap.reason not in SHORT and GapReason.SURPLUS not in gap.reasons:
            yield day


def newer_upstream(
    pipeline: Pipeline, phase: Phase, day: date, modified: Modified
) -> tuple[str, date] | None:
    """An upstream phase and date in the window of a date that was written later than it.

    All tables of a phase are its rows: the one that was written first decides. None where none was,
    and where times are not known.
    """
    own = [modified[spec.name][day] for spec in phase.tables if day in modified.get(spec.name, {})]
    if not own:
        return None
    first = min(own)
    for name in phase.after:
        for spec in pipeline.by_name[name].tables:
            times = modified.get(spec.name, {})
            for past in lookback(day, phase).days():
                if past in times and times[past] > first:
                    return name, past
    return None


def _holds_more(pipeline: Pipeline, phase: str, day: date, assessment: Assessment) -> bool:
    """Whether a date holds more of the pipeline's own entity than what it is computed from."""
    held = assessment.held.get(phase, {}).get(day, 0)
    return held > assessment.expected[phase][day].get(pipeline.entity, held)
