"""How single dates stand, and what they have to do with each other. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from planner.gaps.gaps import SHORT, Assessment, SkipReason
from planner.pipeline.lookback import reach, upstream
from planner.pipeline.phase import Phase
from planner.pipeline.pipeline import Pipeline

COMPLETE = "complete"
ACCEPTED = "accepted"
OUTSIDE = "outside"
"""No day of the calendar, such as one before its start: nothing is known of it."""

_EMPTY = {
    SkipReason.OFF_DAY: "its sources hold nothing of it",
    SkipReason.BOOTSTRAP: "in the warm-up of its season or period, too early for the phase",
    SkipReason.BETWEEN: "the phase is due once a week or month, on another date",
    SkipReason.EXCLUDED: "the pipeline file says so",
}


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How a phase and date stands."""

    phase: str
    date: date
    state: str
    """`complete`, `accepted`, `outside`, or the reason of a gap or of an empty date."""
    detail: str
    """What is wrong, or why nothing is due, in words; may be empty."""
    expected: Mapping[str, int]
    """Entity → how many the date ought to hold."""


def standing(assessment: Assessment, phase: str, day: date) -> Standing:
    """How a phase and date stands."""
    state, detail = _state(assessment, phase, day)
    expected = assessment.expected[phase].get(day, {})
    return Standing(phase=phase, date=day, state=state, detail=detail, expected=dict(expected))


def _state(assessment: Assessment, phase: str, day: date) -> tuple[str, str]:
    gap = assessment.gaps[phase].get(day) or assessment.orphans.get(phase, {}).get(day)
    if gap is not None:
        return str(gap.reason), gap.detail
    accepted = assessment.accepted.get(phase, {}).get(day)
    if accepted is not None:
        return ACCEPTED, f"{accepted.gap.detail}; accepted, since {accepted.reason}"
    if day in assessment.stale.get(phase, ()):
        return "stale", "what it is computed from was written after it"
    if day in assessment.complete[phase]:
        return COMPLETE, ""
    left = assessment.empty[phase].get(day)
    if left is None:
        return OUTSIDE, "no day of the calendar"
    return str(left.reason), left.detail or _EMPTY.get(left.reason, "")


def above(assessment: Assessment, phase: Phase, day: date) -> list[Standing]:
    """How everything stands that a date of a phase is computed from."""
    return [standing(assessment, name, past) for name, past in upstream(day, phase)]


def below(assessment: Assessment, pipeline: Pipeline, phase: str, day: date) -> list[Standing]:
    """How everything stands that is computed from a date of a phase directly."""
    return [
        standing(assessment, other.name, later)
        for other in pipeline.phases
        if phase in other.after
        for later in sorted(reach([day], other))
    ]


def by_state(standings: Iterable[Standing]) -> dict[str, dict[str, list[date]]]:
    """Phase → state → its dates."""
    found: dict[str, dict[str, list[date]]] = {}
    for each in standings:
        found.setdefault(each.phase, {}).setdefault(each.state, []).append(each.date)
    return found


def rests_on_gaps(assessment: Assessment, pipeline: Pipeline, phase: str, day: date) -> bool:
    """Whether rows are missing in anything that a date is computed from, however far above."""
    seen: set[tuple[str, date]] = set()
    left = [(phase, day)]
    while left:
        name, at = left.pop()
        for pair in upstream(at, pipeline.by_name[name]):
            gap = assessment.gaps[pair[0]].get(pair[1])
            if gap is not None and gap.reason in SHORT:
                return True
            if pair not in seen:
                seen.add(pair)
                left.append(pair)
    return False
