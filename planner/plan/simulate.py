"""Simulates steps by the rules of the fleet, to see how long they take together. Pure.

Simulated are the rules that make steps wait: chains, lookback windows, slots, the limits of
phases, tables and services, and the pauses of steps that wait. Failures are not.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

from planner.pipeline.lookback import lookback
from planner.pipeline.phase import Phase
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.runners import HttpBatchRunner

WAIT_GROWTH = 0.25  # a waiting step comes by again after a quarter of the time it has waited
_SLOT = "slot"


@dataclass(frozen=True, kw_only=True)
class Work:
    """A step that is to run."""

    chunk: str
    phase: str
    dates: tuple[date, ...]
    seconds: float


def elapsed(
    pipeline: Pipeline, works: Sequence[Work], *, slots: int, pause_max: float = 0.0
) -> float:
    """Seconds until all steps have ended: a free slot takes the first step that is ready.

    A step is ready when the one before it in its chunk has ended, and every upstream step in its
    lookback window. It takes a slot (a batch at a service does not), one of its phase's, a writer's
    turn at its tables, and its service. Services come first, then phases in order, as workers look
    at their queues. A step that found something else than a slot missing comes by again after a
    pause of at most `pause_max` seconds, which is lost when a slot is idle meanwhile.
    """
    return _Simulation(pipeline, works, slots=slots, pause_max=pause_max).run()


class _Simulation:
    """The fleet at one moment: what is free, which steps are ready, and which are running."""

    def __init__(
        self, pipeline: Pipeline, works: Sequence[Work], *, slots: int, pause_max: float
    ) -> None:
        self._works = works
        self._pause_max = pause_max
        self._waits_for, self._then, self._next_in_chunk = _gates(pipeline, works)
        self._needs = {phase.name: _needs(phase) for phase in pipeline.phases}
        self._free = {name: n for each in self._needs.values() for name, n in each.items()}
        self._free[_SLOT] = slots
        self._now = 0.0
        self._ready: dict[str, deque[int]] = {
            name: deque()
            for name in sorted(self._needs, key=lambda name: _SLOT in self._needs[name])
        }
        self._running: list[tuple[float, int]] = []
        """A heap: when a step ends, and its number."""
        self._came = [0.0] * len(works)
        """When a step's message came."""
        self._ready_since = [0.0] * len(works)
        self._was_full = dict.fromkeys(pipeline.by_name, -1.0)
        """Phase → when its limits last kept a step back."""

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
            end = self._now + self._lost_seconds(number) + self._works[number].seconds
            heapq.heappush(self._running, (end, number))
        if queue and not self._are_free(each for each in needs if each != _SLOT):
            self._was_full[phase] = self._now

    def _are_free(self, needs: Iterable[str]) -> bool:
        return all(self._free[each] > 0 for each in needs)

    def _end_next(self) -> None:
        """Go on to the next end of a step: give back what it took, and see which are ready now."""
        self._now, number = heapq.heappop(self._running)
        for each in self._needs[self._works[number].phase]:
            self._free[each] += 1
        if number in self._next_in_chunk:
            self._came[self._next_in_chunk[number]] = self._now
        for other in self._then[number]:
            self._waits_for[other].discard(number)
            if not self._waits_for[other]:
                self._ready_since[other] = self._now
                self._ready[self._works[other].phase].append(other)

    def _lost_seconds(self, number: int) -> float:
        """Half of the pause that a step is in, on average, when it could start at last.

        None for a step that was never refused, nor when every slot is busy meanwhile.
        """
        came, phase = self._came[number], self._works[number].phase
        waited = self._now - came
        was_refused = self._ready_since[number] > came or self._was_full[phase] >= came
        if not waited or not was_refused or not self._free[_SLOT]:
            return 0.0
        return min(self._pause_max, WAIT_GROWTH * waited) / 2


def _needs(phase: Phase) -> dict[str, int]:
    """What a step of the phase takes one of → how many there are; all phases share the slots."""
    needs = {f"phase {phase.name}": phase.concurrency}
    needs |= {f"table {spec.name}": spec.writers for spec in phase.tables if spec.writers}
    services = [runner.url for runner in phase.runners if isinstance(runner, HttpBatchRunner)]
    needs |= {f"service {url}": 1 for url in services}
    if not phase.runners or not isinstance(phase.runners[0], HttpBatchRunner):
        needs[_SLOT] = 1
    return needs


def _gates(
    pipeline: Pipeline, works: Sequence[Work]
) -> tuple[list[set[int]], list[list[int]], dict[int, int]]:
    """Per step: those it waits for, those that wait for it, and the next one of its chunk."""
    made_by = {(work.phase, day): n for n, work in enumerate(works) for day in work.dates}
    order = {phase.name: n for n, phase in enumerate(pipeline.phases)}
    chains: dict[str, list[int]] = {}
    for number, work in enumerate(works):
        chains.setdefault(work.chunk, []).append(number)
    waits_for: list[set[int]] = [set() for _ in works]
    next_in_chunk: dict[int, int] = {}
    for chain in chains.values():
        chain.sort(key=lambda number: order[works[number].phase])
        for before, after in pairwise(chain):
            waits_for[after].add(before)
            next_in_chunk[before] = after
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
    return waits_for, then, next_in_chunk
