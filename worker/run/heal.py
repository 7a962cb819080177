"""Heals within limits: young gaps are enqueued, the others are reported.

A phase and date that several runs of healing could not repair is quarantined: healing skips it and
what is computed from it, and notifies once. It is tried again after another run has repaired it, or
after `planner heal --release`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from planner.gaps.gaps import SHORT, Assessment, GapReason
from planner.pipeline.windows import Window
from planner.plan.command import Command
from planner.plan.cost import cost_of
from planner.plan.plan import Plan
from planner.report.message import gave_up, source_late
from worker.context import Context
from worker.ledger.healing import DAY_SECONDS, Healing, Pair
from worker.ledger.orders import Orders
from worker.notify import notify
from worker.run.enqueue import enqueue
from worker.run.keep import with_keeping
from worker.run.plan import Wanted, plan_repair

REASON = "healing"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How far healing may go."""

    days: int
    """Only gaps of the last so many days."""
    dates_a_day: int
    """Dates that a day's runs may take, all together."""
    attempts: int
    """Runs that may fail to repair a phase and date before it is quarantined."""
    dollars_a_day: float | None = None
    """What a day's runs may be billed, all together; the one that comes to it is paused."""


@dataclass(frozen=True, kw_only=True)
class Healed:
    """What one pass of healing did."""

    run_id: str | None
    """The run that was enqueued; None when there was nothing to do."""
    plan: Plan
    quarantined: tuple[Pair, ...]
    """Short, after as many attempts as the limits allow."""
    older: tuple[Pair, ...]
    """Short, and older than healing goes."""
    is_spent: bool
    """Whether the day's dates or dollars are used up."""
    late: Mapping[str, tuple[date, ...]]
    """Source → dates whose rows should have come by now."""

    @property
    def leaves_gaps(self) -> bool:
        """Whether something stays short that no run repairs now."""
        left = self.quarantined or self.older or self.late
        return bool(left or self.is_spent or self.plan.leaves_gaps)


def heal(
    context: Context,
    assessment: Assessment,
    today: date,
    limits: Limits,
    *,
    asked: Command | None = None,
    dry_run: bool = False,
) -> Healed:
    """One pass: enqueue the gaps that the limits allow. `assessment` is of the whole calendar."""
    ledger, pipeline = context.ledger, context.pipeline
    healing = Healing(context.redis, context.realm)
    first = today - timedelta(days=limits.days)
    short = set(_short(context, assessment))
    attempts, late = healing.attempts(), _late(context, assessment)
    quarantined = sorted(pair for pair in short if attempts.get(pair, 0) >= limits.attempts)
    left = max(0, limits.dates_a_day - healing.dates_today(today))
    dollars = _dollars_left(context, limits)
    scope = _within(assessment.window, first, today)
    wanted = Wanted(
        scope=scope,
        phases=[phase.name for phase in pipeline.phases if not phase.is_watched],
        exclude=_left_out(scope, first, quarantined),
        limit=left or None,
        reason=REASON,
        asked=asked,
    )

    def plan() -> Plan:
        return plan_repair(context, assessment, wanted, ledger=ledger, cost=None)

    made, run_id = plan(), None
    can_pay = dollars is None or (made.cost.run.dollars if made.cost else 0.0) <= dollars > 0
    is_spent = not left or not can_pay
    if is_spent:
        made = made.model_copy(update={"chunks": ()})
    if not dry_run:
        held = ledger.held(pipeline.name, context.warehouse.identity)
        healing.forget([pair for pair in attempts if pair not in short and pair not in held])
        _tell_given_up(context, healing, quarantined, limits)
        _tell_late(context, late)
    if not is_spent and not dry_run:
        orders = with_keeping(Orders(asked=asked, max_dollars=dollars), context.settings)
        run_id, made = enqueue(context, made, plan, orders)
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
        is_spent=is_spent and any(pair[1] >= first for pair in short.difference(quarantined)),
        late=late,
    )


def _within(window: Window, first: date, today: date) -> Window:
    """The days from `first` to today, as far as the calendar reaches; its last one, or its first,
    where all of it is past, or to come."""
    end = max(min(today, window.end), window.start)
    return Window(start=min(max(first, window.start), end), end=end)


def _left_out(scope: Window, first: date, quarantined: Collection[Pair]) -> frozenset[date]:
    """Dates that are given up, and one that is older than healing goes."""
    past = {scope.start} if scope.start < first else set()
    return frozenset(past.union(day for _, day in quarantined))


def _dollars_left(context: Context, limits: Limits) -> float | None:
    """What runs of healing may still be billed today; None without a limit.

    A day is the 24 hours until now: what a run is billed is known of the run, not of the hour.
    """
    if limits.dollars_a_day is None:
        return None
    since = context.ledger.now() - DAY_SECONDS
    billed = sum(
        run.billed
        for run in context.ledger.runs()
        if run.reason == REASON
        and run.pipeline == context.pipeline.name
        and (not run.is_ended or run.created > since)
    )
    spent = cost_of(billed, context.settings.dollars_per_tib).dollars
    return max(0.0, limits.dollars_a_day - spent)


def _tell_given_up(
    context: Context, healing: Healing, quarantined: Sequence[Pair], limits: Limits
) -> None:
    """Notify of what was quarantined since the last notification: one message for all of it."""
    untold = healing.untold(quarantined)
    if not untold:
        return
    dates: dict[str, list[date]] = {}
    for phase, day in untold:
        dates.setdefault(phase, []).append(day)
    told = gave_up(context.pipeline.name, dates, limits.attempts)
    names = "|".join(f"{phase} {day}" for phase, day in untold)
    if notify(context, told, once=f"{context.ledger.now():.0f}|{names}"):
        healing.note_told(untold)


def _tell_late(context: Context, late: Mapping[str, Sequence[date]]) -> None:
    """Tell people of sources that are late: once for each time that one begins to be."""
    for phase, days in late.items():
        told = source_late(context.pipeline.name, phase, days)
        notify(context, told, once=f"{context.pipeline.name}|{phase}|{min(days)}")


def _late(context: Context, assessment: Assessment) -> dict[str, tuple[date, ...]]:
    """Source → dates whose rows should have come by now."""
    found: dict[str, list[date]] = {}
    for phase in context.pipeline.phases:
        for day, gap in assessment.gaps[phase.name].items():
            if gap.reason is GapReason.LATE:
                found.setdefault(phase.name, []).append(day)
    return {phase: tuple(sorted(days)) for phase, days in found.items()}


def _short(context: Context, assessment: Assessment) -> Iterator[Pair]:
    """Phases and dates that lack rows, of phases that something here writes."""
    for phase in context.pipeline.phases:
        for day, gap in assessment.gaps[phase.name].items():
            if gap.reason in SHORT and not phase.is_watched:
                yield phase.name, day
