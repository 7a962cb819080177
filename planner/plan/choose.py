"""What to do about the gaps: which phases and dates a plan takes, and which it leaves, and why.

Pure. Four rules, applied phase by phase in order:

- **stale**: where the user asks for it, dates whose upstream was written after them are done again
  as if they were short;
- **cascade**: a date that is repaired makes every later date wrong whose lookback window holds
  it, so those are done again (unless the user says no);
- **ready**: a date is taken only when everything in its lookback window is complete and right,
  or is taken as well; otherwise its rows would look complete and be wrong;
- **in flight**: a date that another run holds is left to that run, and so is every date that
  is computed from it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date

from planner.gaps.gaps import RECOMPUTE, Assessment, Gap, GapReason, Skipped, SkipReason, recomputed
from planner.pipeline.lookback import lookback, reach
from planner.pipeline.phase import Phase
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Window

Dates = Mapping[str, Collection[date]]
"""Phase → dates."""


@dataclass(frozen=True, kw_only=True)
class Repair:
    """Phases and dates to do, in phase order, and those that are left."""

    todo: Mapping[str, Mapping[date, Gap]]
    skipped: tuple[Skipped, ...]
    """Gaps that are not taken."""
    owed: Mapping[str, frozenset[date]]
    """Complete by count, but computed from rows that are repaired, and not done by this plan."""


def choose(
    pipeline: Pipeline,
    assessment: Assessment,
    *,
    scope: Window,
    phases: Collection[str],
    cascade: bool = True,
    limit: int | None = None,
    newest_first: bool = False,
    owed: Dates | None = None,
    in_flight: Mapping[tuple[str, date], str] | None = None,
) -> Repair:
    """Decide what a plan does.

    `health` reaches at least `pipeline.lookback_total` before and after `scope`. `phases` are
    the ones that may be run; `limit` keeps the first so many dates that have a gap; `owed` are
    dates that earlier runs repaired the upstream of and did not come to; `in_flight` maps a
    phase and date to the run that holds it.
    """
    in_flight = in_flight or {}
    direct = {
        name: {day: gap for day, gap in assessment.gaps[name].items() if day in scope}
        | {
            day: recomputed(pipeline.by_name[name], day, assessment, GapReason.STALE)
            for day in assessment.stale.get(name, ())
            if day in scope and can_recompute(assessment, pipeline.by_name[name], day)
        }
        for name in phases
    }
    if limit is not None:
        dates = sorted({day for days in direct.values() for day in days}, reverse=newest_first)
        kept = set(dates[:limit])
        direct = {
            name: {day: gap for day, gap in days.items() if day in kept}
            for name, days in direct.items()
        }

    todo: dict[str, dict[date, Gap]] = {}
    left: dict[str, frozenset[date]] = {}
    skipped: list[Skipped] = []
    for phase in pipeline.phases:
        if phase.is_source:
            continue
        wanted = dict(direct.get(phase.name, {}))
        doubts = sorted(
            day
            for day in assessment.doubtful.get(phase.name, ())
            if day in scope and phase.name in phases
        )
        due = (owed or {}).get(phase.name, ())
        # What an earlier run left half done is not only short: none of its rows can be kept.
        wanted |= {
            d: replace(wanted[d], reason=GapReason.CASCADE)
            for d in due
            if d in wanted and wanted[d].reason not in RECOMPUTE
        }
        stale = {day for day in due if can_recompute(assessment, phase, day)}
        if cascade:
            stale |= set(_after(pipeline, assessment, phase, todo, left))
        wanted |= {
            day: recomputed(phase, day, assessment, GapReason.CASCADE)
            for day in stale
            if day not in wanted
        }
        skipped += [
            _doubtful(pipeline, phase, day, assessment) for day in doubts if day not in wanted
        ]
        taken: dict[date, Gap] = {}
        for day, gap in sorted(wanted.items()):
            if phase.name not in phases:
                continue
            reason = _not_ready(assessment, phase, day, todo, left, in_flight)
            if reason is not None:
                skipped.append(reason)
            else:
                taken[day] = gap
        todo[phase.name] = taken
        left[phase.name] = frozenset(stale - set(taken))
    return Repair(
        todo={name: days for name, days in todo.items() if days},
        skipped=tuple(skipped),
        owed={name: days for name, days in left.items() if days},
    )


def _after(
    pipeline: Pipeline,
    assessment: Assessment,
    phase: Phase,
    todo: Mapping[str, Collection[date]],
    left: Mapping[str, Collection[date]],
) -> Iterator[date]:
    """Complete dates of `phase` whose lookback window holds a date that changes upstream."""
    for upstream in phase.after:
        for changed in {*todo.get(upstream, ()), *left.get(upstream, ())}:
            for day in reach(changed, phase):
                if can_recompute(assessment, phase, day):
                    yield day


def can_recompute(assessment: Assessment, phase: Phase, day: date) -> bool:
    """Whether a date can be done again: its rows are there, and its whole window is known."""
    known = lookback(day, phase).start >= assessment.window.start
    return known and day in assessment.complete[phase.name]


def _doubtful(pipeline: Pipeline, phase: Phase, day: date, assessment: Assessment) -> Skipped:
    held = assessment.held[phase.name][day]
    due = assessment.expected[phase.name][day].get(pipeline.entity, 0)
    return Skipped(
        phase=phase.name,
        date=day,
        reason=SkipReason.UPSTREAM_MISSING,
        detail=f"it looks stale, but what it is computed from holds {due} of its {held} "
        f"{pipeline.entity}s now",
    )


def _not_ready(
    assessment: Assessment,
    phase: Phase,
    day: date,
    todo: Mapping[str, Mapping[date, Gap]],
    left: Mapping[str, Collection[date]],
    in_flight: Mapping[tuple[str, date], str],
) -> Skipped | None:
    """Why a date cannot be done by this plan; None when it can."""
    held = in_flight.get((phase.name, day))
    if held is not None:
        return Skipped(phase=phase.name, date=day, reason=SkipReason.IN_FLIGHT, run_id=held)
    for name in phase.after:
        for upstream_day in lookback(day, phase).days():
            held = in_flight.get((name, upstream_day))
            if held is not None:
                return Skipped(
                    phase=phase.name,
                    date=day,
                    reason=SkipReason.IN_FLIGHT,
                    detail=f"{name} {upstream_day} is being repaired",
                    run_id=held,
                )
            state = None
            if upstream_day in assessment.gaps[name] and upstream_day not in todo.get(name, {}):
                state = f"is {assessment.gaps[name][upstream_day].reason}"
            elif upstream_day in left.get(name, ()):
                state = "has to be computed again"
            if state is not None:
                return Skipped(
                    phase=phase.name,
                    date=day,
                    reason=SkipReason.UPSTREAM_MISSING,
                    detail=f"{name} {upstream_day} {state} and is not part of this plan",
                )
    return None
