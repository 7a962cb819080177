"""How the fleet stands, as figures for Prometheus: read from Redis when they are asked for.

One endpoint tells of all workers. It writes nothing, and what it costs Redis grows with the runs
that go on, not with those that have ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import redis
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from planner.errors import FleetError
from planner.plan.plan import phase_of
from planner.plan.states import RUN_ACTIVE, STEP_ENDED, DateState
from worker.app import queue_names
from worker.context import Context
from worker.ledger.connection import now
from worker.ledger.healing import Healing
from worker.ledger.keys import BILLED
from worker.ledger.lease import OWNERS
from worker.ledger.record import RunRecord, StepRecord, reading
from worker.ledger.slots import slots_now
from worker.messages.lanes import lists_of
from worker.messages.later import waiting
from worker.messages.mailbox import UNACKED

PREFIX = "backfill"


class FleetMetrics:
    """What `prometheus_client` collects: the figures at the moment of a scrape."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def collect(self) -> Iterator[Metric]:
        """All figures; when Redis does not answer, that alone."""
        try:
            found = [_single("redis_up", "Whether Redis answers", 1), *self._all()]
        except (redis.RedisError, FleetError):
            found = [_single("redis_up", "Whether Redis answers", 0)]
        yield from found

    def _all(self) -> Iterator[Metric]:
        runs = self._context.ledger.runs(on_bad=lambda error: None)
        active = [run for run in runs if run.state in RUN_ACTIVE]
        steps = {run.id: self._context.ledger.step_records(run.id) for run in active}
        yield from _runs(runs)
        yield from _steps(active, steps)
        yield from _waits(active, steps, now(self._context.redis))
        yield self._quarantined(active)
        yield self._healing()
        yield self._billed()
        yield from self._queues()
        yield from self._redis()

    def _queues(self) -> Iterator[Metric]:
        """Messages: those that a free slot would take at once are what to scale by."""
        client, names = self._context.redis, queue_names(*self._context.every_pipeline())
        ready = _gauge("ready_steps", "Messages that a free slot would take at once", "queue")
        delayed = _gauge("delayed_steps", "Messages of steps that wait, or are retried", "queue")
        pipe = client.pipeline(transaction=False)
        lists = [lists_of([name]) for name in names]
        for each in (each for of in lists for each in of):
            pipe.llen(each)
            pipe.zcard(waiting(each))
        pipe.hlen(UNACKED)
        pipe.hlen(OWNERS)
        *counts, held, leases = pipe.execute()
        for n, name in enumerate(names):
            mine = counts[2 * n * len(lists[n]) : 2 * (n + 1) * len(lists[n])]
            ready.add_metric([name], sum(mine[::2]))
            delayed.add_metric([name], sum(mine[1::2]))
        yield ready
        yield delayed
        yield _single("delivered_messages", "Messages that workers hold", held)
        yield _single("leases", "Leases that are held", leases)
        yield _single("slots", "Steps that all workers can run at once", slots_now(client))

    def _quarantined(self, active: Sequence[RunRecord]) -> Metric:
        found = _gauge(
            "quarantined_dates", "Dates that failed alone, of runs that go on", "pipeline", "phase"
        )
        count: Counter[tuple[str, str]] = Counter()
        for run in active:
            for (phase, _), state in self._context.ledger.all_dates(run.id).items():
                count[run.pipeline, phase] += state is DateState.FAILED
        for (pipeline, phase), dates in sorted(count.items()):
            found.add_metric([pipeline, phase], dates)
        return found

    def _healing(self) -> Metric:
        """By attempts, because `planner heal --attempts` limits them."""
        pipeline = self._context.pipeline.name
        found = _gauge(
            "healing_dates",
            "Gaps that runs of healing did not repair yet, by how many runs tried",
            "pipeline",
            "phase",
            "attempts",
        )
        attempts = Healing(self._context.redis, self._context.realm).attempts()
        count = Counter((phase, tried) for (phase, _), tried in attempts.items())
        for (phase, tried), dates in sorted(count.items()):
            found.add_metric([pipeline, phase, str(tried)], dates)
        return found

    def _billed(self) -> Metric:
        found = CounterMetricFamily(
            f"{PREFIX}_billed_bytes", "Bytes that the warehouse billed", labels=["pipeline"]
        )
        with reading("what was billed"):
            billed: Mapping[str, str] = self._context.redis.hgetall(BILLED)  # type: ignore[assignment]
            for pipeline, count in sorted(billed.items()):
                found.add_metric([pipeline], float(count))
        return found

    def _redis(self) -> Iterator[Metric]:
        memory: dict[str, Any] = self._context.redis.info("memory")
        used, most = memory["used_memory"], memory.get("maxmemory", 0)
        yield _single("redis_memory_bytes", "Memory that Redis uses", used)
        yield _single("redis_memory_max_bytes", "Its limit; 0 without one", most)


def _runs(runs: Sequence[RunRecord]) -> Iterator[Metric]:
    found = _gauge("runs", "Runs that the ledger remembers", "pipeline", "state")
    for (pipeline, state), count in Counter((run.pipeline, str(run.state)) for run in runs).items():
        found.add_metric([pipeline, state], count)
    yield found


def _steps(active: Sequence[RunRecord], steps: dict[str, list[StepRecord]]) -> Iterator[Metric]:
    """Of runs that go on: an ended run's steps are in its report."""
    found = _gauge("steps", "Steps of runs that go on", "pipeline", "phase", "state")
    retries = _gauge("retries", "Steps that are to be tried again", "pipeline", "phase")
    states: Counter[tuple[str, str, str]] = Counter()
    again: Counter[tuple[str, str]] = Counter()
    for run in active:
        for step in steps[run.id]:
            states[run.pipeline, phase_of(step.id), str(step.state)] += 1
            again[run.pipeline, phase_of(step.id)] += bool(step.retry_text)
    for (pipeline, phase, state), count in sorted(states.items()):
        found.add_metric([pipeline, phase, state], count)
    for (pipeline, phase), count in sorted(again.items()):
        retries.add_metric([pipeline, phase], count)
    yield found
    yield retries


def _waits(
    active: Sequence[RunRecord], steps: dict[str, list[StepRecord]], at: float
) -> Iterator[Metric]:
    oldest = _gauge(
        "oldest_wait_seconds", "How long a step has waited, at most", "pipeline", "phase"
    )
    silent = _gauge(
        "progress_age_seconds", "Since a step began or ended, by run", "pipeline", "run"
    )
    waits: dict[tuple[str, str], float] = {}
    for run in active:
        for step in steps[run.id]:
            if step.state not in STEP_ENDED and step.waiting and step.since is not None:
                key = (run.pipeline, phase_of(step.id))
                waits[key] = max(waits.get(key, 0.0), at - step.since)
        last = max([run.created, *(step.moved for step in steps[run.id])])
        silent.add_metric([run.pipeline, run.id], max(0.0, at - last))
    for (pipeline, phase), seconds in sorted(waits.items()):
        oldest.add_metric([pipeline, phase], seconds)
    yield oldest
    yield silent


def _gauge(name: str, told: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}_{name}", told, labels=labels)


def _single(name: str, told: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}_{name}", told, value=value)
