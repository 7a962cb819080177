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

from planner.gaps.gaps import AGAIN, Gap, Health, LeftAlone, Reason
from planner.pipeline.calendar import Why
from planner.pipeline.pipeline import Phase, Pipeline, Window

Dates = Mapping[str, Collection[date]]
"""Phase → dates."""


@dataclass(frozen=True, kw_only=True)
class Repair:
    """Phases and dates to do, in phase order, and those that are left."""

    todo: Mapping[str, Mapping[date, Gap]]
    skipped: tuple[LeftAlone, ...]
    """Gaps that are not taken."""
    owed: Mapping[str, frozenset[date]]
    """Complete by count, but computed from rows that are repaired, and not done by this plan."""


def choose(
    pipeline: Pipeline,
    health: Health,
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
        name: {day: gap for day, gap in health.gaps[name].items() if day in scope}
        | {
            day: again(pipeline.by_name[name], day, health, Reason.STALE)
            for day in health.stale.get(name, ())
            if day in scope and _again(health, pipeline.by_name[name], day)
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
    skipped: list[LeftAlone] = []
    for phase in pipeline.phases:
        if phase.is_source:
            continue
        wanted = dict(direct.get(phase.name, {}))
        doubts = sorted(
            day
            for day in health.doubtful.get(phase.name, ())
            if day in scope and phase.name in phases
        )
        due = (owed or {}).get(phase.name, ())
        # What an earlier run left half done is not only short: none of its rows can be kept.
        wanted |= {
            d: replace(wanted[d], reason=Reason.CASCADE)
            for d in due
            if d in wanted and wanted[d].reason not in AGAIN
        }
        stale = {day for day in due if _again(health, phase, day)}
        if cascade:
            stale |= set(_after(pipeline, health, phase, todo, left))
        wanted |= {
            day: again(phase, day, health, Reason.CASCADE) for day in stale if day not in wanted
        }
        skipped += [_doubtful(pipeline, phase, day, health) for day in doubts if day not in wanted]
        taken: dict[date, Gap] = {}
        for day, gap in sorted(wanted.items()):
            if phase.name not in phases:
                continue
            reason = _not_ready(health, phase, day, todo, left, in_flight)
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
    health: Health,
    phase: Phase,
    todo: Mapping[str, Collection[date]],
    left: Mapping[str, Collection[date]],
) -> Iterator[date]:
    """Complete dates of `phase` whose lookback window holds a date that changes upstream."""
    for upstream in phase.after:
        for changed in {*todo.get(upstream, ()), *left.get(upstream, ())}:
            for day in _reach(changed, phase):
                if _again(health, phase, day):
                    yield day


def _again(health: Health, phase: Phase, day: date) -> bool:
    """Whether a date can be done again: its rows are there, and its whole window is known."""
    known = lookback(day, phase).start >= health.window.start
    return known and day in health.complete[phase.name]


def _doubtful(pipeline: Pipeline, phase: Phase, day: date, health: Health) -> LeftAlone:
    held = health.held[phase.name][day]
    due = health.expected[phase.name][day].get(pipeline.entity, 0)
    return LeftAlone(
        phase=phase.name,
        date=day,
        reason=Why.UPSTREAM_MISSING,
        detail=f"it looks stale, but what it is computed from holds {due} of its {held} "
        f"{pipeline.entity}s now",
    )


def again(phase: Phase, day: date, health: Health, reason: Reason) -> Gap:
    """A date that is complete by count, and has to be computed again."""
    due = health.expected[phase.name][day]
    first = next(iter(phase.tables[0].entities), None)
    count = due.get(first, 1) if first else 1
    return Gap(
        phase=phase.name,
        date=day,
        reason=reason,
        expected=count,
        found=count,
        tables=tuple(spec.name for spec in phase.tables),
    )


def _not_ready(
    health: Health,
    phase: Phase,
    day: date,
    todo: Mapping[str, Mapping[date, Gap]],
    left: Mapping[str, Collection[date]],
    in_flight: Mapping[tuple[str, date], str],
) -> LeftAlone | None:
    """Why a date cannot be done by this plan; None when it can."""
    held = in_flight.get((phase.name, day))
    if held is not None:
        return LeftAlone(phase=phase.name, date=day, reason=Why.IN_FLIGHT, run_id=held)
    for name in phase.after:
        for upstream_day in lookback(day, phase).days():
            held = in_flight.get((name, upstream_day))
            if held is not None:
                return LeftAlone(
                    phase=phase.name,
                    date=day,
                    reason=Why.IN_FLIGHT,
                    detail=f"{name} {upstream_day} is being repaired",
                    run_id=held,
                )
            state = None
            if upstream_day in health.gaps[name] and upstream_day not in todo.get(name, {}):
                state = f"is {health.gaps[name][upstream_day].reason}"
            elif upstream_day in left.get(name, ()):
                state = "has to be computed again"
            if state is not None:
                return LeftAlone(
                    phase=phase.name,
                    date=day,
                    reason=Why.UPSTREAM_MISSING,
                    detail=f"{name} {upstream_day} {state} and is not part of this plan",
                )
    return None


def lookback(day: date, phase: Phase) -> Window:
    """The days a date of `phase` is computed from."""
    return Window(start=_moved(day, -phase.lookback_days), end=day)


def _reach(changed: date, phase: Phase) -> Iterator[date]:
    """The days of `phase` that are computed from the upstream date `changed`."""
    return Window(start=changed, end=_moved(changed, phase.lookback_days)).days()


def with_lookback(pipeline: Pipeline, scope: Window) -> Window:
    """The days whose coverage decides about `scope`: what it is computed from, what it changes."""
    reach = pipeline.lookback_total.days
    return Window(start=_moved(scope.start, -reach), end=_moved(scope.end, reach))


def _moved(day: date, days: int) -> date:
    """A day some days later or earlier, or the last or first there is."""
    first, last = date.min.toordinal(), date.max.toordinal()
    return date.fromordinal(min(max(day.toordinal() + days, first), last))
