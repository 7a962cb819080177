"""The gate: is everything that a step is computed from there?

What was complete when the plan was made is complete (the plan takes a date only if so); what
the plan repairs is asked of the ledger. Upstream of a date is every phase it is `after`, over
its whole lookback window.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from planner.evidence.tables import gate_phases
from planner.gaps.gaps import Assessment, SkipReason
from planner.pipeline.lookback import lookback, upstream
from planner.pipeline.phase import Phase
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Window
from planner.plan.states import DateState
from planner.report.advice import ENQUEUE
from sql.warehouse import Warehouse
from worker.step.judge import judge

Pair = tuple[str, date]
"""A phase and a date."""


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """What the gate says of a step's dates."""

    ready: tuple[date, ...]
    blocked: dict[date, str]
    """Date → which upstream phase and date failed."""
    waiting_for: tuple[str, date] | None
    """The last upstream phase and date that is still to come."""


def upstream_of(phase: Phase, dates: Iterable[date]) -> dict[date, list[Pair]]:
    """Date → the phases and dates that it is computed from: the gate asks the ledger of these."""
    return {day: list(upstream(day, phase)) for day in dates}


def check(states: Mapping[Pair, DateState], phase: Phase, dates: Iterable[date]) -> GateResult:
    """What the ledger's states of everything upstream say of a step's dates."""
    ready: list[date] = []
    blocked: dict[date, str] = {}
    waiting_for: tuple[str, date] | None = None
    for day, window in upstream_of(phase, dates).items():
        known = {pair: states[pair] for pair in window if pair in states}
        broken = [p for p, s in known.items() if s not in (DateState.DONE, DateState.PENDING)]
        pending = [pair for pair, state in known.items() if state is DateState.PENDING]
        if broken:
            name, past = broken[0]
            blocked[day] = f"{name} {past} {known[broken[0]]}"
        elif pending:
            waiting_for = pending[-1]  # of a window in order: as a rule the last one to be done
        else:
            ready.append(day)
    return GateResult(ready=tuple(ready), blocked=blocked, waiting_for=waiting_for)


def short_upstream(
    warehouse: Warehouse, pipeline: Pipeline, phase: Phase, dates: Sequence[date]
) -> dict[date, str]:
    """Dates whose upstream does not hold its rows now, over the whole lookback window, and why.

    The ledger knows what this run repaired; it does not know of rows that went away since the plan
    was made or since their recount. One statement per table. Raises `sql.WarehouseError`.
    """
    windows = [lookback(day, phase) for day in dates]
    window = Window(
        start=min(each.start for each in windows), end=max(each.end for each in windows)
    )
    _, now = judge(warehouse, pipeline, phase.after, window, counted=gate_phases(phase))
    found: dict[date, str] = {}
    for day in dates:
        gap = now.short_upstream(phase, day)
        if gap is not None:
            what = f"{gap.phase} {gap.date} is short now: {gap.detail}"
            is_watched = pipeline.by_name[gap.phase].is_watched
            advice = "it has no runner here" if is_watched else f"{ENQUEUE} repairs both"
            found[day] = f"{what}. {advice}"
            continue
        left = now.unready_upstream(phase, day)
        undue = [name for name in phase.after if _is_off(pipeline, now, (phase, day), name)]
        if left is not None:
            found[day] = f"{left.phase} {left.date} is {left.reason} now: {left.detail}"
        elif undue:
            found[day] = (
                f"the source of {undue[0]} holds nothing of {day} any more, so nothing is due. "
                f"{ENQUEUE} plans what is due now"
            )
    return found


def _is_off(pipeline: Pipeline, now: Assessment, below: tuple[Phase, date], name: str) -> bool:
    """Whether a phase has nothing to hold that a date reads, because its source holds nothing."""
    phase, day = below
    is_alike = pipeline.by_name[name].grain == phase.grain
    days = [day] if is_alike else lookback(day, phase).days()
    reasons = {left.reason if (left := now.empty[name].get(past)) else None for past in days}
    return SkipReason.OFF_DAY in reasons <= {SkipReason.OFF_DAY, SkipReason.BETWEEN}
