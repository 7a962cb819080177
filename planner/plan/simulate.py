"""Simulates steps by the rules of the fleet, to see how long they take together. Pure.

Simulated are the rules that make steps wait: chains, lookback windows, slots, and the limits of
phases, tables and services. A step that waits is woken when it can go on. Failures are not.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import TYPE_CHECKING

from planner.pipeline.lookback import lookback

if TYPE_CHECKING:
    from planner.pipeline.phase import Phase
    from planner.pipeline.pipeline import Pipeline

_SLOT = "slot"


@dataclass(frozen=True, kw_only=True)
class Work:
    """A step that is to run."""

    chunk: str
    phase: str
    dates: tuple[date, ...]
    seconds: float


def elapsed(pipeline: Pipeline, works: Sequence[Work], *, slots: int) -> float:
    """Seconds until all steps have ended: a free slot takes the first step that is ready.

    A step is ready when the one before it in its chunk has ended, and every upstream step in its
    lookback window. It takes a slot (a batch at a service does not), one of its phase's, a writer's
    turn at its tables, and its service. A free slot looks at phases by priority, as workers look at
    their queues.
    """
    return _Simulation(pipeline, works, slots=slots).run()


class _Simulation:
    """The fleet at one moment: what is free, which steps are ready, and which are running."""

    def __init__(self, pipeline: Pipeline, works: Sequence[Work], *, slots: int) -> None:
        self._works = works
        self._waits_for, self._then = _gates(pipeline, works)
        self._needs = {phase.name: _needs(phase) for phase in pipeline.phases}
        self._free = {name: n for each in self._needs.values() for name, n in each.items()}
        self._free[_SLOT] = slots
        self._now = 0.0
        self._ready: dict[str, deque[int]] = {p.name: deque() for p in pipeline.by_priority}
        self._running: list[tuple[float, int]] = []
        """A heap: when a step ends, and its number."""

    def run(self) -> float:
        """Seconds until the last step has ended."""
        for number, work in enumerate(self._works):
            if not self._waits_for[number]:
                self._ready[work.phase].append(number)
        while True:
            for phase in self._ready:
                self._start_ready(phase)
            if not self._running:
                return self._now
            self._end_next()

    def _start_ready(self, phase: str) -> None:
        """Start the phase's steps in order, as long as everything that one takes is free."""
        queue, needs = self._ready[phase], self._needs[phase]
        while queue and self._are_free(needs):
            number = queue.popleft()
            for each in needs:
                self._free[each] -= 1
            heapq.heappush(self._running, (self._now + self._works[number].seconds, number))

    def _are_free(self, needs: Iterable[str]) -> bool:
        return all(self._free[each] > 0 for each in needs)

    def _end_next(self) -> None:
        """Go on to the next end of a step: give back what it took, and see which are ready now."""
        self._now, number = heapq.heappop(self._running)
        for each in self._needs[self._works[number].phase]:
            self._free[each] += 1
        for other in self._then[number]:
            self._waits_for[other].discard(number)
            if not self._waits_for[other]:
                self._ready[self._works[other].phase].append(other)


def _needs(phase: Phase) -> dict[str, int]:
    """What a step of the phase takes one of → how many there are; all phases share the slots."""
    needs = {f"phase {phase.name}": phase.concurrency}
    needs |= {f"table {spec.name}": spec.writers for spec in phase.tables if spec.writers}
    needs |= {f"service {runner.service_url}": 1 for runner in phase.runners if runner.service_url}
    if not phase.runners or not phase.runners[0].is_polled:
        needs[_SLOT] = 1
    return needs


def _gates(pipeline: Pipeline, works: Sequence[Work]) -> tuple[list[set[int]], list[list[int]]]:
    """Per step: those it waits for, and those that wait for it."""
    made_by = {(work.phase, day): n for n, work in enumerate(works) for day in work.dates}
    order = {phase.name: n for n, phase in enumerate(pipeline.phases)}
    chains: dict[str, list[int]] = {}
    for number, work in enumerate(works):
        chains.setdefault(work.chunk, []).append(number)
    waits_for: list[set[int]] = [set() for _ in works]
    for chain in chains.values():
        chain.sort(key=lambda number: order[works[number].phase])
        for before, after in pairwise(chain):
            waits_for[after].add(before)
    for number, work in enumerate(works):
        phase = pipeline.by_name[work.phase]
        window = {past for day in work.dates for past in lookback(day, phase).days()}
        waits_for[number] |= {
            made_by[name, past]
            for name in phase.after
            for past in window
            if (name, past) in made_by
        }
    then: list[list[int]] = [[] for _ in works]
    for number, others in enumerate(waits_for):
        for other in others:
            then[other].append(number)
    return waits_for, then
