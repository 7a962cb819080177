"""How every day will stand as planned: what is written, what is skipped and why. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date

from planner.gaps.gaps import OUTDATED, SHORT, SkipReason
from planner.gaps.snapshot import PLANNED, Snapshot, State, Stretch, joined
from planner.pipeline.windows import DAY
from planner.plan.plan import Plan

OWN = frozenset({SkipReason.FLAWED})
"""Reasons to leave a date that say less than the date's own state."""


def planned_days(plan: Plan) -> Snapshot:
    """The plan's snapshot, with what it writes and what it leaves alone in place of the gaps."""
    changed: dict[str, dict[date, State]] = {name: {} for name in plan.days_before.phases}
    for left in plan.skipped:
        if left.reason not in OWN:
            changed.setdefault(left.phase, {})[left.date] = left.reason
    for _, step in plan.steps():
        for task in step.tasks:
            is_outdated = task.reason in OUTDATED
            changed[step.phase][task.date] = task.reason if is_outdated else PLANNED
    phases = {
        name: tuple(_overlaid(stretches, changed[name]))
        for name, stretches in plan.days_before.phases.items()
    }
    return Snapshot(window=plan.days_before.window, phases=phases)


def _overlaid(stretches: tuple[Stretch, ...], changed: Mapping[date, State]) -> Iterator[Stretch]:
    """The stretches with other states on some days."""
    days = (
        stretch._replace(start=stretch.start + n * DAY, days=1)
        for stretch in stretches
        for n in range(stretch.days)
    )
    return joined(each._replace(state=changed.get(each.start, each.state)) for each in days)


def short_now(plan: Plan) -> int:
    """How many phase-dates lack rows."""
    return sum(
        stretch.days
        for stretches in plan.days_before.phases.values()
        for stretch in stretches
        if stretch.state in SHORT
    )
