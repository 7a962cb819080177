"""How long a repair will take: what steps took before, simulated by the fleet's own rules.

Pure. A step's time is fitted to a line, a fixed part and a part per date, because a script that is
started for one date takes more than a fourteenth of what it takes for fourteen. The median and the
90th percentile of how far steps were off that line give the estimate and its worst case.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING, Literal

from planner.data import Data
from planner.plan.simulate import Work, elapsed

if TYPE_CHECKING:
    from planner.pipeline.phase import Phase
    from planner.pipeline.pipeline import Pipeline
    from planner.plan.chunks import Chunk

DAY_SECONDS = 86_400
SLOW = 0.9  # share of steps that are faster than what the worst case assumes

Samples = Sequence[tuple[int, float]]
"""Steps that succeeded at once: dates, and seconds at work."""


class PhaseEstimate(Data):
    """The steps of one phase."""

    steps: int
    dates: int
    seconds_per_date: float
    """Median of what a date took; the pipeline file's figure where nothing ran yet."""
    slow_seconds_per_date: float
    """The same, of the slowest tenth."""
    seconds: float
    """Work of all its steps, added up."""
    slow_seconds: float
    source: Literal["runs", "file"]
    """Earlier runs, or `seconds_per_date` in the pipeline file."""


class Budget(Data):
    """A table that the plan writes more often than a day allows."""

    table: str
    writes: int
    """What the plan needs, and what the last 24 hours had."""
    daily_writes: int
    days: int


class Estimate(Data):
    """What a plan foresees. Estimates know of no failures, and of no other runs."""

    slots: int
    """Steps that can run at once."""
    slots_are_assumed: bool
    """Whether no worker had said that it is there."""
    runs: int
    """Earlier runs that it is made from."""
    seconds: float | None
    """From the first start to the last end; None when a phase is unknown."""
    worst_seconds: float | None
    """The same, if every step were one of the slowest tenth."""
    phases: dict[str, PhaseEstimate]
    unknown: tuple[str, ...]
    """Phases that never ran and have no `seconds_per_date`."""
    budgets: tuple[Budget, ...]


@dataclass(frozen=True, kw_only=True)
class History:
    """How long steps of earlier runs took."""

    runs: int = 0
    samples: Mapping[str, Samples] = field(default_factory=dict)
    """Phase → its steps."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How long a step of a phase takes."""

    fixed: float = 0.0
    per_date: float
    typical: float = 1.0
    """Median of what steps took, as a multiple of the line."""
    slow: float = 1.0
    """The same of the slowest tenth."""

    def seconds(self, dates: int) -> float:
        """Seconds that a step of so many dates usually takes."""
        return self.typical * (self.fixed + self.per_date * dates)

    def slow_seconds(self, dates: int) -> float:
        """Seconds that it takes in the slowest tenth."""
        return self.slow * (self.fixed + self.per_date * dates)


def estimate(
    pipeline: Pipeline,
    chunks: Iterable[Chunk],
    history: History,
    *,
    slots: int | None,
    spent: Mapping[str, int],
) -> Estimate | None:
    """Estimate a repair; None when there is nothing to do.

    `slots` is how many steps can run at once; None assumes one. `spent` is what tables with a
    daily budget had of it.
    """
    steps = [(each.id, phase, each.dates) for each in chunks for phase in each.phases]
    if not steps:
        return None
    phases: dict[str, PhaseEstimate] = {}
    usual: list[Work] = []
    slow: list[Work] = []
    unknown: list[str] = []
    for phase in pipeline.phases:
        own = [(chunk, dates) for chunk, name, dates in steps if name == phase.name]
        if not own:
            continue
        samples = history.samples.get(phase.name, ())
        pace = pace_of(samples) if samples else _of_file(phase)
        if pace is None:
            unknown.append(phase.name)
            continue
        phases[phase.name] = _of_phase([len(dates) for _, dates in own], pace, samples)
        for chunk, dates in own:
            work = Work(
                chunk=chunk, phase=phase.name, dates=dates, seconds=pace.seconds(len(dates))
            )
            usual.append(work)
            slow.append(replace(work, seconds=pace.slow_seconds(len(dates))))
    budgets = _budgets(pipeline, steps, spent)
    wait = max((budget.days - 1 for budget in budgets), default=0) * DAY_SECONDS
    count = slots or 1

    def lasts(works: Sequence[Work]) -> float | None:
        if unknown:
            return None
        return _rounded(max(elapsed(pipeline, works, slots=count), wait))

    return Estimate(
        slots=count,
        slots_are_assumed=not slots,
        runs=history.runs,
        seconds=lasts(usual),
        worst_seconds=lasts(slow),
        phases=phases,
        unknown=tuple(unknown),
        budgets=budgets,
    )


def _of_phase(dates: Sequence[int], pace: Pace, samples: Samples) -> PhaseEstimate:
    """The steps of one phase, each of so many dates, at this pace."""
    per_date = [seconds / n for n, seconds in samples] or [pace.per_date]
    return PhaseEstimate(
        steps=len(dates),
        dates=sum(dates),
        seconds_per_date=_rounded(statistics.median(per_date)),
        slow_seconds_per_date=_rounded(_slowest(per_date)),
        seconds=_rounded(sum(map(pace.seconds, dates))),
        slow_seconds=_rounded(sum(map(pace.slow_seconds, dates))),
        source="runs" if samples else "file",
    )


def pace_of(samples: Samples) -> Pace:
    """The pace of a phase, from one step or more."""
    dates, seconds = [n for n, _ in samples], [max(s, 1e-3) for _, s in samples]
    fixed, per_date = 0.0, sum(seconds) / sum(dates)
    if len(set(dates)) > 1:
        slope, intercept = statistics.linear_regression(dates, seconds)
        if slope >= 0 and intercept > 0:
            fixed, per_date = intercept, slope
        elif slope < 0:  # the number of dates does not matter
            fixed, per_date = statistics.fmean(seconds), 0.0
    off = [s / (fixed + per_date * n) for n, s in zip(dates, seconds, strict=True)]
    return Pace(fixed=fixed, per_date=per_date, typical=statistics.median(off), slow=_slowest(off))


def _budgets(
    pipeline: Pipeline,
    steps: Sequence[tuple[str, str, tuple[date, ...]]],
    spent: Mapping[str, int],
) -> tuple[Budget, ...]:
    """The tables for which a day is not enough."""
    writes: dict[str, int] = {}
    limits: dict[str, int] = {}
    for _, name, dates in steps:
        for spec in pipeline.by_name[name].tables:
            if spec.daily_writes is not None:
                limits[spec.name] = spec.daily_writes
                cost = spec.writes_per_date * len(dates)
                writes[spec.name] = writes.get(spec.name, spent.get(spec.name, 0)) + cost
    return tuple(
        Budget(
            table=table,
            writes=writes[table],
            daily_writes=limit,
            days=math.ceil(writes[table] / limit),
        )
        for table, limit in limits.items()
        if writes[table] > limit
    )


def _of_file(phase: Phase) -> Pace | None:
    return None if phase.seconds_per_date is None else Pace(per_date=phase.seconds_per_date)


def _slowest(values: Sequence[float]) -> float:
    """Where the slowest tenth begins."""
    ordered = sorted(values)
    place = SLOW * (len(ordered) - 1)
    low, share = int(place), place - int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + share * (ordered[high] - ordered[low])


def _rounded(seconds: float) -> float:
    """To the millisecond: people read plans too."""
    return round(seconds, 3)
