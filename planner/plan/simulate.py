"""Plays steps through by the rules of the fleet, to see how long they take together. Pure.

Of the rules it knows those that make steps wait: chains, lookback windows, slots, the limits of
phases, tables and services, and the pauses of who waits. It knows of no failures.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

from planner.pipeline.lookback import lookback
from planner.pipeline.phase import Phase
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.runners import HttpBatchRunner

WAIT_GROWTH = 0.25  # a step that waited so long comes by again after a quarter of it more
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
    pause, which is lost when a slot is idle meanwhile.
    """
    waits_for, then, next_in_chunk = _gates(pipeline, works)
    came = [0.0] * len(works)  # when its message did
    ready_since = [0.0] * len(works)
    was_full = dict.fromkeys(pipeline.by_name, -1.0)  # phase → when its limits last kept one back

    def lost(number: int) -> float:
        waited = now - came[number]
        looked_in_vain = (
            ready_since[number] > came[number] or was_full[works[number].phase] >= came[number]
        )
        if not waited or not looked_in_vain or not free[_SLOT]:
            return 0.0
        return min(pause_max, WAIT_GROWTH * waited) / 2

    needs = {phase.name: _needs(phase) for phase in pipeline.phases}
    free = {name: capacity for each in needs.values() for name, capacity in each.items()}
    free[_SLOT] = slots
    ready: dict[str, deque[int]] = {
        name: deque() for name in sorted(needs, key=lambda name: _SLOT in needs[name])
    }
    running: list[tuple[float, int]] = []
    now = 0.0

    for number, work in enumerate(works):
        if not waits_for[number]:
            ready[work.phase].append(number)
    while True:
        for name, queue in ready.items():
            while queue and all(free[each] > 0 for each in needs[name]):
                number = queue.popleft()
                for each in needs[name]:
                    free[each] -= 1
                heapq.heappush(running, (now + lost(number) + works[number].seconds, number))
            if queue and not all(free[each] > 0 for each in needs[name] if each != _SLOT):
                was_full[name] = now
        if not running:
            return now
        now, number = heapq.heappop(running)
        for each in needs[works[number].phase]:
            free[each] += 1
        if number in next_in_chunk:
            came[next_in_chunk[number]] = now
        for other in then[number]:
            waits_for[other].discard(number)
            if not waits_for[other]:
                ready_since[other] = now
                ready[works[other].phase].append(other)


def _needs(phase: Phase) -> dict[str, int]:
    """What a step of the phase takes one of → how many there are. Slots are everybody's."""
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
