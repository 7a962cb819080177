"""How every phase stood on every day of a window, small enough to keep with the plan.

A heat-map of before and after needs each day's state; five seasons of five phases are some
8,500 phase-dates. Days in a row that stand alike are one entry, which keeps the off-season to
a handful and a plan of that size at about 200 kB.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import TYPE_CHECKING, Literal, NamedTuple

from planner.data import Data
from planner.gaps.gaps import Assessment, GapReason, SkipReason, count_due
from planner.pipeline.windows import DAY, Window

if TYPE_CHECKING:
    from planner.pipeline.pipeline import Pipeline

COMPLETE: Literal["complete"] = "complete"

PLANNED: Literal["planned"] = "planned"
"""Of how days will stand: a plan writes them."""

State = Literal["complete", "planned"] | GapReason | SkipReason
"""Complete, why it is short, why nothing is expected, or that a plan writes it."""


CountedState = tuple[State, int, int]
"""A state, and what is expected and found: what a stretch says of each of its days."""


class Stretch(NamedTuple):
    """Days in a row of one phase that stand alike."""

    start: date
    days: int
    state: State
    expected: int
    """The pipeline's own entity each day; what the shortest table counts, when not short of it."""
    found: int


class Snapshot(Data):
    """Phase → its stretches, in order, without holes from `window.start` to `window.end`."""

    window: Window
    phases: dict[str, tuple[Stretch, ...]]

    def days(self, phase: str, state: State) -> Iterator[date]:
        """The days on which a phase is in a state."""
        for stretch in self.phases.get(phase, ()):
            if stretch.state == state:
                for n in range(stretch.days):
                    yield stretch.start + n * DAY

    def accepted(self) -> int:
        """How many phase-dates lack rows, which is accepted; not those that nothing is due of."""
        return sum(
            stretch.days
            for stretches in self.phases.values()
            for stretch in stretches
            if stretch.state is SkipReason.ACCEPTED and stretch.expected
        )

    def count(self, phase: str, window: Window) -> dict[State, int]:
        """State → how many days of `window` a phase is in it."""
        tally: dict[State, int] = {}
        for stretch in self.phases.get(phase, ()):
            first = max(stretch.start, window.start)
            last = min(stretch.start + (stretch.days - 1) * DAY, window.end)
            if first <= last:
                tally[stretch.state] = tally.get(stretch.state, 0) + (last - first).days + 1
        return tally


def snapshot(
    pipeline: Pipeline,
    assessment: Assessment,
    window: Window,
    recompute: Mapping[str, Mapping[date, GapReason]],
) -> Snapshot:
    """Write down how `window` stands; days that `assessment` does not reach are left out.

    `recompute`: phase → dates that are complete by count, and why they have to be recomputed.
    """
    within = Window(
        start=max(window.start, assessment.window.start), end=min(window.end, assessment.window.end)
    )
    return Snapshot.unchecked(
        window=within,
        phases={
            phase.name: tuple(
                _stretches(pipeline, assessment, phase.name, within, recompute.get(phase.name, {}))
            )
            for phase in pipeline.phases
        },
    )


def _stretches(
    pipeline: Pipeline,
    assessment: Assessment,
    phase: str,
    window: Window,
    recompute: Mapping[date, GapReason],
) -> Iterator[Stretch]:
    stands = _Stands(pipeline, assessment, phase, recompute)
    days, start = 0, window.start
    last: CountedState | None = None
    for day in window.days():
        standing = stands.on(day)
        if standing == last:
            days += 1
            continue
        if last is not None:
            yield Stretch(start, days, *last)
        last, start, days = standing, day, 1
    if last is not None:
        yield Stretch(start, days, *last)


def joined(stretches: Iterable[Stretch]) -> Iterator[Stretch]:
    """Stretches in a row, with those that stand alike as one."""
    last: Stretch | None = None
    for each in stretches:
        if last is not None and last[2:] == each[2:]:
            last = last._replace(days=last.days + each.days)
            continue
        if last is not None:
            yield last
        last = each
    if last is not None:
        yield last


class _Stands:
    """How one phase stands, day by day."""

    def __init__(
        self,
        pipeline: Pipeline,
        assessment: Assessment,
        phase: str,
        recompute: Mapping[date, GapReason],
    ) -> None:
        self.orphans = assessment.orphans.get(phase, {})
        self.empty, self.gaps = assessment.empty[phase], assessment.gaps[phase]
        self.accepted = assessment.accepted.get(phase, ())
        self.recompute = recompute
        self.held, self.expected = assessment.held.get(phase), assessment.expected[phase]
        self.phase, self.entity = pipeline.by_name[phase], pipeline.entity

    def on(self, day: date) -> CountedState:
        if day in self.orphans:
            orphan = self.orphans[day]
            return orphan.reason, orphan.expected, orphan.found
        if day in self.empty:
            return self.empty[day].reason, 0, 0
        gap = self.gaps.get(day)
        expected, found = self._counts(day)
        if gap is not None:
            # Short of another entity: the figures are those of the shortest table.
            counts = (expected, found) if found < expected else (gap.expected, gap.found)
            return gap.reason, *counts
        if day in self.accepted:
            return SkipReason.ACCEPTED, expected, found
        return self.recompute.get(day, COMPLETE), expected, found

    def _counts(self, day: date) -> tuple[int, int]:
        """Expected and found: the pipeline's entity, else what the phase's table counts."""
        if self.held is not None:
            # A source has nothing before it, so what it holds is what is expected of it.
            held = self.held[day]
            return self.expected[day].get(self.entity, held), held
        usual = count_due(self.phase, self.expected.get(day, {}))
        return usual, usual
