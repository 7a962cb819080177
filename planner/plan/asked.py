"""What a plan is asked for: gaps, flaws that are named, stale dates, dates to write anew. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

from planner.gaps.gaps import FLAWS, Assessment, Gap, GapReason, recomputed
from planner.pipeline.lookback import ends

if TYPE_CHECKING:
    from planner.pipeline.phase import Phase
    from planner.pipeline.pipeline import Pipeline
    from planner.pipeline.windows import Window

NONE_CHANGED: Mapping[str, Collection[date]] = {}


def can_recompute(assessment: Assessment, phase: Phase, day: date) -> bool:
    """Whether a date can be recomputed: its rows are there, none is an accepted loss, and its whole
    window is known."""
    if day in assessment.accepted.get(phase.name, ()):
        return False
    if not assessment.is_full(phase.name, day):
        return False
    known, (first, last) = assessment.window, ends(day, phase)
    return known.start <= first and last <= known.end


def asked_for(
    pipeline: Pipeline,
    assessment: Assessment,
    scope: Window,
    *,
    phases: Collection[str],
    reasons: Collection[GapReason],
    redo: Collection[str] = (),
    changed: Mapping[str, Collection[date]] = NONE_CHANGED,
) -> dict[str, dict[date, Gap]]:
    """Per phase its gaps in scope for some reasons, its stale dates (the rule **stale**), the
    dates of the phases `redo` that are complete, and those that are `changed`."""
    short: dict[str, dict[date, Gap]] = {}
    for name, days in changed.items():
        short[name] = _anew(pipeline.by_name[name], assessment, scope, GapReason.CHANGED, days)
    for name in dict.fromkeys([*phases, *redo]):
        phase = pipeline.by_name[name]
        anew = short.get(name, {})
        short[name] = {
            day: _asked(gap, reasons)
            for day, gap in assessment.gaps[name].items()
            if day in scope
            and not gap.reasons.isdisjoint(reasons)
            and day not in assessment.accepted.get(name, ())
        }
        short[name] |= {
            day: recomputed(phase, day, assessment, GapReason.STALE)
            for day in assessment.stale.get(name, ())
            if day in scope and can_recompute(assessment, phase, day) and day not in short[name]
        }
        if name in redo:
            anew = _anew(phase, assessment, scope, GapReason.REDO, scope.days()) | anew
        short[name] = anew | short[name]
    return short


def _anew(
    phase: Phase, assessment: Assessment, scope: Window, reason: GapReason, days: Iterable[date]
) -> dict[date, Gap]:
    """The rules **redo** and **changed**: the dates of a phase that hold their rows, no more."""
    return {
        day: recomputed(phase, day, assessment, reason)
        for day in days
        if day in scope and can_write_anew(assessment, phase, day)
    }


def can_write_anew(assessment: Assessment, phase: Phase, day: date) -> bool:
    """Whether a date can be recomputed, and holds nothing that would be lost by it."""
    gap = assessment.gaps[phase.name].get(day)
    has_more = gap is not None and GapReason.SURPLUS in gap.reasons
    return can_recompute(assessment, phase, day) and not has_more


def _asked(gap: Gap, reasons: Collection[GapReason]) -> Gap:
    """The gap by the worst of the reasons that are asked for; the worst of all may be another."""
    named = [finding.reason for finding in gap.findings if finding.reason in reasons]
    reason = gap.reason if gap.reason in reasons else named[0]
    asked = tuple(dict.fromkeys(each for each in named if each in FLAWS))
    if (reason, asked) == (gap.reason, gap.asked):
        return gap
    return replace(gap, reason=reason, asked=asked)


def limited(
    short: Mapping[str, Mapping[date, Gap]],
    limit: int,
    todo: Mapping[str, Mapping[date, Gap]],
    *,
    newest_first: bool,
) -> dict[str, dict[date, Gap]]:
    """The gaps up to the last of the first `limit` dates of which any can be done.

    Those before it that cannot be done stay, so that the plan says why.
    """
    dates = sorted({day for days in short.values() for day in days}, reverse=newest_first)
    able = [day for day in dates if any(day in short[n] and day in todo.get(n, ()) for n in short)]
    last = dates.index(able[limit - 1]) + 1 if len(able) >= limit else len(dates)
    kept = set(dates[:last])
    return {
        name: {day: gap for day, gap in days.items() if day in kept} for name, days in short.items()
    }
