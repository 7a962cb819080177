"""What to do about the gaps: which phases and dates a plan takes, which it skips, and why.

Pure. Ten rules, applied phase by phase in order:

- **redo**: dates that the user asks for are written anew as if they were short, except those that
  hold what upstream does not, whose rows would be lost (`asked_for`);
- **changed**: where the user asks for it, dates that other code than today's made are written anew
  in the same way (`asked_for`);
- **stale**: where the user asks for it, dates whose upstream was written after them are
  recomputed as if they were short (`asked_for`);
- **cascade**: a date that is repaired makes every later date wrong whose lookback window holds
  it, so those are recomputed, unless the user says no (`_cascade`);
- **ready**: a date is taken only when everything in its lookback window is complete and right,
  or is taken as well; otherwise its rows would look complete and be wrong (`_not_ready`);
- **flaws**: rows that are there, and are not as they should be, are repaired only when the user
  asks for the reason, since to run a script that appends once more would make them worse; they
  keep nothing else from being done (`_flawed`);
- **open**: a date that is not closed is left, and so is what reads one whose source is still
  waited for (`_unsettled`, `_unready`);
- **unjudged**: a date whose source's rows are gone is left, and so is what would be computed from
  rows that are gone (`_unready`);
- **left out**: a date that the user excludes is no part of the plan (`_left_out`);
- **in flight**: a date that another run holds is left to that run, and so is every date that
  is computed from it (`_in_flight`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING

from planner.gaps.gaps import (
    RECOMPUTE,
    SHORT,
    Assessment,
    Gap,
    GapReason,
    Skipped,
    SkipReason,
    recomputed,
)
from planner.pipeline.lookback import reach, upstream
from planner.plan.asked import NONE_CHANGED, asked_for, can_recompute, limited
from planner.plan.watched import watched

if TYPE_CHECKING:
    from planner.pipeline.phase import Phase
    from planner.pipeline.pipeline import Pipeline
    from planner.pipeline.windows import Window

Dates = Mapping[str, Collection[date]]
"""Phase → dates."""

InFlight = Mapping[tuple[str, date], str]
"""Phase and date → the run that holds it."""


@dataclass(frozen=True, kw_only=True)
class Repair:
    """Phases and dates to do, in phase order, and those that are skipped."""

    todo: Mapping[str, Mapping[date, Gap]]
    skipped: tuple[Skipped, ...]
    """Gaps that are not taken."""
    owed: Mapping[str, frozenset[date]]
    """Complete by count, but computed from rows that are repaired, and not done by this plan."""


@dataclass(frozen=True, kw_only=True)
class _Decided:
    """What is decided for the phases so far; a phase is added when all its dates are."""

    todo: dict[str, dict[date, Gap]] = field(default_factory=dict)
    left: dict[str, frozenset[date]] = field(default_factory=dict)
    """Phase → dates to recompute that the plan does not take."""
    skipped: list[Skipped] = field(default_factory=list)

    def changed(self, phase: str) -> set[date]:
        """Dates whose rows change, by this plan or by a later one."""
        return {*self.todo.get(phase, ()), *self.left.get(phase, ())}


def choose(
    pipeline: Pipeline,
    assessment: Assessment,
    *,
    scope: Window,
    phases: Collection[str],
    reasons: Collection[GapReason] = (),
    redo: Collection[str] = (),
    changed: Dates = NONE_CHANGED,
    gaps: bool = True,
    cascade: bool = True,
    limit: int | None = None,
    newest_first: bool = False,
    exclude: Collection[date] = (),
    owed: Dates | None = None,
    in_flight: InFlight | None = None,
) -> Repair:
    """Decide what a plan does.

    `assessment` reaches at least `pipeline.lookback_total` before and after `scope`. `phases` are
    the ones that may be run; `reasons` are flaws that are repaired too; `redo` are phases whose
    complete dates are written anew, and `changed` such dates of some phases; without `gaps` only
    theirs are taken; `limit` keeps the
    first so many dates that have a gap and can be done; `exclude` are dates that the user leaves
    out; `owed` are dates that earlier runs repaired the upstream of and did not come to;
    `in_flight` maps a phase and date to the run that holds it.
    """
    named = phases if gaps else redo
    short = asked_for(
        pipeline,
        assessment,
        scope,
        phases=named,
        reasons=SHORT.union(reasons),
        redo=redo,
        changed=changed,
    )

    def decide(gaps: Mapping[str, Mapping[date, Gap]]) -> Repair:
        return _decide(
            pipeline,
            assessment,
            gaps,
            scope=scope,
            phases=phases,
            cascade=cascade,
            exclude=exclude,
            owed=owed or {},
            in_flight=in_flight or {},
        )

    repair = decide(short)
    if limit is None:
        return repair
    return decide(limited(short, limit, repair.todo, newest_first=newest_first))


def _decide(
    pipeline: Pipeline,
    assessment: Assessment,
    short: Mapping[str, Mapping[date, Gap]],
    *,
    scope: Window,
    phases: Collection[str],
    cascade: bool,
    exclude: Collection[date],
    owed: Dates,
    in_flight: InFlight,
) -> Repair:
    """Go through the phases in order with the gaps that are to be done."""
    decided = _Decided()
    for phase in pipeline.phases:
        decided.skipped.extend(_unsettled(assessment, phase, scope, phases))
        if phase.is_watched:
            decided.skipped.extend(_flawed(assessment, phase, scope, ()))
            continue
        due = owed.get(phase.name, ())
        recompute = {day for day in due if can_recompute(assessment, phase, day)}
        if cascade:
            recompute |= set(_cascade(assessment, phase, decided))
        wanted = {
            day: recomputed(phase, day, assessment, GapReason.CASCADE) for day in recompute
        } | _with_owed(short.get(phase.name, {}), due)
        taken: dict[date, Gap] = {}
        if phase.name in phases:
            decided.skipped.extend(_doubtful(pipeline, assessment, phase, scope, wanted))
            decided.skipped.extend(_flawed(assessment, phase, scope, wanted))
            asked = _in_question(assessment, phase, decided, in_flight)
            for day, gap in sorted(wanted.items()):
                skipped = _left_out(phase, day, exclude)
                if skipped is None and day in asked:
                    skipped = _skipped(assessment, phase, day, decided, in_flight)
                if skipped is None:
                    taken[day] = gap
                else:
                    decided.skipped.append(skipped)
        decided.todo[phase.name] = taken
        later = set(_cascade_open(assessment, phase, decided)) if cascade else set()
        decided.left[phase.name] = frozenset((recompute | later) - set(taken))
    decided.skipped.extend(watched(pipeline, assessment, scope, decided.skipped))
    return Repair(
        todo={name: days for name, days in decided.todo.items() if days},
        skipped=(*decided.skipped, *assessment.beyond),
        owed={name: days for name, days in decided.left.items() if days},
    )


def _flawed(
    assessment: Assessment, phase: Phase, scope: Window, wanted: Collection[date]
) -> Iterator[Skipped]:
    """The rule **flaws**: dates whose rows are all there, and which the plan leaves as they are."""
    for day, gap in sorted(assessment.gaps[phase.name].items()):
        if day in scope and day not in wanted and gap.reason not in SHORT:
            how = f"--reasons {gap.reason} takes it"
            if phase.is_watched:
                how = "no phase writes it, so it has to be mended where it comes from"
            yield Skipped(
                phase=phase.name,
                date=day,
                reason=SkipReason.FLAWED,
                detail=f"{gap.detail}; {how}",
            )
    for day, gap in sorted(assessment.orphans.get(phase.name, {}).items()):
        if day in scope:
            yield Skipped(
                phase=phase.name,
                date=day,
                reason=SkipReason.FLAWED,
                detail=f"{gap.detail}: a repair deletes no rows",
            )


def _with_owed(short: Mapping[date, Gap], owed: Collection[date]) -> dict[date, Gap]:
    """The gaps of a phase; those that an earlier run owes have to be recomputed as a whole.

    Such a date is not only short: it was half done, and none of the rows it has can be kept.
    """
    if not owed:
        return dict(short)
    return {
        day: replace(gap, reason=GapReason.CASCADE)
        if day in owed and gap.reason not in RECOMPUTE
        else gap
        for day, gap in short.items()
    }


def _cascade(assessment: Assessment, phase: Phase, decided: _Decided) -> Iterator[date]:
    """The rule **cascade**: complete dates whose lookback window holds a changed upstream date."""
    for day in _resting_on_change(phase, decided):
        if can_recompute(assessment, phase, day):
            yield day


def _cascade_open(assessment: Assessment, phase: Phase, decided: _Decided) -> Iterator[date]:
    """Open dates that hold rows already, computed from what changes: due when they are closed."""
    for day in _resting_on_change(phase, decided):
        left = assessment.empty[phase.name].get(day)
        is_open = left is not None and left.reason is SkipReason.OPEN
        if is_open and day in assessment.holding[phase.name]:
            yield day


def _resting_on_change(phase: Phase, decided: _Decided) -> set[date]:
    """The dates of a phase whose lookback window holds a changed upstream date."""
    return reach({day for name in phase.after for day in decided.changed(name)}, phase)


def _unsettled(
    assessment: Assessment, phase: Phase, scope: Window, phases: Collection[str]
) -> Iterator[Skipped]:
    """The rule **open**: dates that may still change; and those of sources that are unjudged."""
    for day, left in sorted(assessment.empty[phase.name].items()):
        is_open = left.reason is SkipReason.OPEN and phase.name in phases
        is_unjudged = left.reason is SkipReason.UNJUDGED and phase.is_source
        if day in scope and (is_open or is_unjudged):
            yield left


def _doubtful(
    pipeline: Pipeline,
    assessment: Assessment,
    phase: Phase,
    scope: Window,
    wanted: Collection[date],
) -> Iterator[Skipped]:
    """Dates that look stale, and would lose rows: their upstream holds less than they do."""
    for day in sorted(assessment.doubtful.get(phase.name, ())):
        if day in scope and day not in wanted:
            held = assessment.held[phase.name][day]
            due = assessment.expected[phase.name][day].get(pipeline.entity, 0)
            yield Skipped(
                phase=phase.name,
                date=day,
                reason=SkipReason.UPSTREAM_MISSING,
                detail=f"it looks stale, but what it is computed from holds {due} of its {held} "
                f"{pipeline.entity}s now",
            )


def _left_out(phase: Phase, day: date, exclude: Collection[date]) -> Skipped | None:
    """The rule **left out**: the user says so."""
    if day not in exclude:
        return None
    detail = "--exclude names it"
    return Skipped(phase=phase.name, date=day, reason=SkipReason.LEFT_OUT, detail=detail)


def _in_question(
    assessment: Assessment, phase: Phase, decided: _Decided, in_flight: InFlight
) -> set[date]:
    """The dates of a phase of which `_skipped` may say anything: those that are held, and those
    that are computed from a date that is held, unready or not ready. Of most plans, there are few
    of them, and the windows of all others need not be gone through."""
    held: dict[str, set[date]] = {}
    for name, day in in_flight:
        held.setdefault(name, set()).add(day)
    doubted: set[date] = set()
    for name in phase.after:
        doubted |= held.get(name, set())
        doubted.update(day for day in assessment.empty[name] if assessment.unready(name, day))
        doubted |= decided.left.get(name, frozenset())
        todo = decided.todo.get(name, {})
        gaps = assessment.gaps[name].items()
        doubted.update(day for day, gap in gaps if gap.reason in SHORT and day not in todo)
    return held.get(phase.name, set()) | reach(doubted, phase)


def _skipped(
    assessment: Assessment, phase: Phase, day: date, decided: _Decided, in_flight: InFlight
) -> Skipped | None:
    """Why a date cannot be done by this plan; None when it can."""
    if (phase.name, day) in in_flight:
        return _in_flight(phase, day, (phase.name, day), in_flight)
    for needed in upstream(day, phase):
        found = _in_flight(phase, day, needed, in_flight)
        found = found or _unready(assessment, phase, day, needed)
        found = found or _not_ready(assessment, phase, day, needed, decided)
        if found is not None:
            return found
    return None


def _in_flight(
    phase: Phase, day: date, needed: tuple[str, date], in_flight: InFlight
) -> Skipped | None:
    """The rule **in flight**: another run holds `needed`, which is the date or upstream of it."""
    run = in_flight.get(needed)
    if run is None:
        return None
    name, past = needed
    return Skipped(
        phase=phase.name,
        date=day,
        reason=SkipReason.IN_FLIGHT,
        detail="" if name == phase.name else f"{name} {past} is being repaired",
        run_id=run,
    )


def _unready(
    assessment: Assessment, phase: Phase, day: date, needed: tuple[str, date]
) -> Skipped | None:
    """The rules **open** and **unjudged**: rows of `needed` may still come, or are gone."""
    left = assessment.unready(*needed)
    if left is None:
        return None
    name, past = needed
    return Skipped(
        phase=phase.name,
        date=day,
        reason=left.reason,
        detail=f"it is computed from {name} {past}: {left.detail}",
    )


def _not_ready(
    assessment: Assessment, phase: Phase, day: date, needed: tuple[str, date], decided: _Decided
) -> Skipped | None:
    """The rule **ready**: the upstream date `needed` is short or wrong, and the plan leaves it."""
    name, past = needed
    gap = assessment.gaps[name].get(past)
    if gap is not None and gap.reason in SHORT and past not in decided.todo.get(name, {}):
        state = f"is {gap.reason}"
    elif past in decided.left.get(name, ()):
        state = "has to be recomputed"
    else:
        return None
    return Skipped(
        phase=phase.name,
        date=day,
        reason=SkipReason.UPSTREAM_MISSING,
        detail=f"{name} {past} {state} and is not part of this plan",
    )
