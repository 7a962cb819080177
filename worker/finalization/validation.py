"""The final validation: every date that the plan took, judged by what the warehouse holds now.

A date passes when the final count finds it complete, when its rows were computed since the plan
was made, and when everything in its lookback window is still there and older than it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import date

from planner.gaps.gaps import RECOMPUTE, SHORT, Assessment, Gap, SkipReason
from planner.gaps.snapshot import COMPLETE, Snapshot, State
from planner.gaps.stale import newer_upstream
from planner.pipeline.phase import Phase
from planner.pipeline.windows import Window
from planner.plan.plan import Plan, Task
from planner.plan.states import DateState
from planner.report.report import Cause, Short, Validation
from planner.validation.counts import Counts

FULL: tuple[State, ...] = (COMPLETE, *RECOMPUTE)
"""States of a date whose rows are all there."""

Pair = tuple[str, date]
"""Phase and date."""


def validate(
    plan: Plan,
    counts: Counts,
    assessment: Assessment,
    dates: Mapping[Pair, DateState],
    recounts: Mapping[Pair, tuple[int, int]],
    vouched: Collection[Pair] = (),
) -> Validation:
    """Judge what the plan took. `recounts` are entities due and there when a step was recounted;
    `vouched` are dates whose runner said that nothing had to change, so that they stay older than
    what they are computed from."""
    short: list[Short] = []
    taken: set[Pair] = set()
    for _, step in plan.steps():
        phase = counts.pipeline.by_name[step.phase]
        for task in step.tasks:
            pair = (step.phase, task.date)
            taken.add(pair)
            is_done = dates.get(pair) is DateState.DONE
            found = _lacking(phase, task, assessment, recounts.get(pair) if is_done else None)
            found = found or _not_recomputed(phase, task, is_done=is_done)
            found = found or _gone(phase, task, counts, assessment, is_old=pair in vouched)
            if found is not None:
                short.append(found)
    failed = {(each.phase, each.date) for each in short}
    remaining = sum(
        day in plan.scope and (phase, day) not in failed
        for phase, gaps in assessment.gaps.items()
        for day in gaps
    )
    # What nothing can judge, or the calendar leaves out, is as little in order as a gap.
    outside = (SkipReason.UNJUDGED, SkipReason.BEYOND)
    remaining += sum(left.reason in outside for left in plan.skipped)
    return Validation(passed=not short, checked=len(taken), short=tuple(short), remaining=remaining)


def orphans(assessment: Assessment, reach: Window) -> tuple[Short, ...]:
    """Dates that hold rows although nothing upstream does."""
    return tuple(
        _short(phase, gap)
        for phase, days in assessment.orphans.items()
        for day, gap in sorted(days.items())
        if day in reach
    )


def losses(before: Snapshot, assessment: Assessment) -> tuple[Short, ...]:
    """Dates whose rows were all there when the plan was made, and are not now."""
    found: list[Short] = []
    for phase, gaps in assessment.gaps.items():
        full = {day for state in FULL for day in before.days(phase, state)}
        found += [
            _short(phase, gap, cause="removed")
            for day, gap in sorted(gaps.items())
            if day in full and gap.reason in SHORT
        ]
    return tuple(found)


def _lacking(
    phase: Phase, task: Task, assessment: Assessment, recount: tuple[int, int] | None
) -> Short | None:
    """Rows that are not there, or a flaw that the step was to repair."""
    if task.date in assessment.empty[phase.name]:
        why = assessment.empty[phase.name][task.date].reason
        return Short(
            phase=phase.name,
            date=task.date,
            reason=why,
            expected=0,
            found=0,
            cause="undue",
            detail="its source holds no rows of it any more",
        )
    gap = assessment.gaps[phase.name].get(task.date)
    if gap is None:
        return None
    if gap.reason in SHORT:
        return _short(phase.name, gap, cause=_cause(gap, recount))
    if not gap.reasons.isdisjoint(task.flaws):
        return _short(phase.name, gap, cause="incomplete")
    return None


def _cause(gap: Gap, recount: tuple[int, int] | None) -> Cause:
    """Why a date is short: never complete; or what has changed since its recount."""
    if recount is None:
        return "incomplete"
    due, _ = recount
    return "grew" if gap.expected > due else "removed"


def _not_recomputed(phase: Phase, task: Task, *, is_done: bool) -> Short | None:
    if is_done or task.reason not in RECOMPUTE:
        return None
    return Short(
        phase=phase.name,
        date=task.date,
        reason=task.reason,
        expected=task.most,
        found=task.most,
        cause="incomplete",
        detail="its rows were not written anew",
    )


def _gone(
    phase: Phase, task: Task, counts: Counts, assessment: Assessment, *, is_old: bool
) -> Short | None:
    """A complete date that was computed from rows which are gone, or changed since."""
    cause: Cause = "gone"
    short = assessment.short_upstream(phase, task.date)
    left = assessment.unready_upstream(phase, task.date)
    if short is not None:
        told = f"{short.phase} {short.date}: {short.detail}"
    elif left is not None:
        told = f"{left.phase} {left.date}: {left.detail}"
    else:
        newer = newer_upstream(counts.pipeline, phase, task.date, counts.modified)
        if newer is None or is_old:
            return None
        cause, told = "changed", f"{newer[0]} {newer[1]} was written after it"
    return Short(
        phase=phase.name,
        date=task.date,
        reason="upstream",
        expected=task.most,
        found=task.most,
        cause=cause,
        detail=f"computed from rows that are gone: {told}",
    )


def _short(phase: str, gap: Gap, *, cause: Cause = "") -> Short:
    return Short(
        phase=phase,
        date=gap.date,
        reason=gap.reason,
        expected=gap.expected,
        found=gap.found,
        cause=cause,
        detail=gap.detail,
        lacks=gap.lacks,
        unnamed=gap.unnamed,
    )
