"""Heals within limits: young gaps are enqueued, the others are reported.

A phase and date that several runs of healing took in vain is quarantined: it is left, with what
rests on it, and people are told once. It is tried again when it was repaired otherwise, or when
somebody lets it go.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from planner.gaps.gaps import SHORT, Assessment
from planner.pipeline.windows import Window
from planner.plan.plan import Plan
from planner.report.message import gave_up
from worker.ledger.healing import Healing, Pair
from worker.run.enqueue import enqueue
from worker.run.notify import notify
from worker.run.plan import Wanted, plan_repair
from worker.step.context import Context

REASON = "healing"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How far healing may go."""

    days: int
    """Only gaps of the last so many days."""
    dates_a_day: int
    """Dates that a day's runs may take, all together."""
    attempts: int
    """Runs that may take a phase and date in vain; then it is quarantined."""


@dataclass(frozen=True, kw_only=True)
class Healed:
    """What one look did."""

    run_id: str | None
    """The run that was enqueued; None when there was nothing to do."""
    plan: Plan
    quarantined: tuple[Pair, ...]
    """Short, and tried in vain as often as the limits allow."""
    older: tuple[Pair, ...]
    """Short, and older than healing goes."""
    is_spent: bool
    """Whether the day's dates are used up."""

    @property
    def leaves_gaps(self) -> bool:
        """Whether something stays short that no run is at."""
        return bool(self.quarantined or self.older or self.is_spent or self.plan.leaves_gaps)


def heal(
    context: Context, assessment: Assessment, today: date, limits: Limits, *, dry_run: bool = False
) -> Healed:
    """Look once: enqueue the gaps that the limits allow. `assessment` is of the whole calendar."""
    ledger, pipeline = context.ledger, context.pipeline
    healing = Healing(context.redis, pipeline.name)
    first = today - timedelta(days=limits.days)
    short = set(_short(context, assessment))
    attempts = healing.attempts()
    quarantined = sorted(pair for pair in short if attempts.get(pair, 0) >= limits.attempts)
    left = max(0, limits.dates_a_day - healing.dates_today(today))
    wanted = Wanted(
        scope=Window(start=max(first, assessment.window.start), end=today),
        phases=[phase.name for phase in pipeline.phases if not phase.is_watched],
        exclude=frozenset(day for _, day in quarantined),
        limit=left or None,
        reason=REASON,
    )

    def plan() -> Plan:
        return plan_repair(context, assessment, wanted, ledger=ledger, cost=None)

    made, run_id = plan(), None
    if not left:
        made = made.model_copy(update={"chunks": ()})
    if not dry_run:
        held = ledger.held(pipeline.name)
        healing.forget([pair for pair in attempts if pair not in short and pair not in held])
        for phase, day in quarantined:
            told = gave_up(pipeline.name, phase, day, attempts[phase, day])
            notify(context, told, once=f"{phase}|{day}|{attempts[phase, day]}")
    if left and not dry_run:
        run_id, made = enqueue(context, made, plan)
    if run_id is not None:
        healing.took(
            (step.phase, task.date)
            for _, step in made.steps()
            for task in step.tasks
            if task.reason in SHORT
        )
        healing.spend(today, len(made.dates))
    return Healed(
        run_id=run_id,
        plan=made,
        quarantined=tuple(quarantined),
        older=tuple(sorted(pair for pair in short if pair[1] < first)),
        is_spent=not left and any(pair[1] >= first for pair in short.difference(quarantined)),
    )


def _short(context: Context, assessment: Assessment) -> Iterator[Pair]:
    """Phases and dates that lack rows, of phases that something here writes."""
    for phase in context.pipeline.phases:
        for day, gap in assessment.gaps[phase.name].items():
            if gap.reason in SHORT and not phase.is_watched:
                yield phase.name, day
