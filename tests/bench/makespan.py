"""How long a run takes from its first step to its last, beside the least that it could take."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from planner.plan.states import STEP_ENDED
from planner.sandbox.workers import environment_of
from planner.settings import Settings
from tests.bench.fleet import environment_for, send
from tests.bench.worlds import RUN, Sized
from tests.waiting import until
from worker.ledger.connection import connect
from worker.processes.children import supervised
from worker.processes.workers import worker_process

STEP_SECONDS = {"facts": 0.73, "second": 0.73, "third": 0.41, "fourth": 0.73}
EXCLUSIVE = {"third": "concurrency = 1"}
LOOKBACK = {"second": "lookback_days = 3", "third": "lookback_days = 3"}


@dataclass(frozen=True, kw_only=True)
class Makespan:
    """A run's length."""

    seconds: float
    least: float
    """No order of steps takes less: all work on all slots, or the phase that runs one at a time."""
    looks: float
    """Deliveries of a step that found it waiting, per step."""


def makespan(
    settings: Settings, place: Path, *, chunks: int, slots: int, keys: dict[str, str]
) -> Makespan:
    """Run `chunks` chunks of four steps that sleep; `keys` are more keys of phases."""
    place.mkdir()
    client = connect(settings, patient=False)
    client.flushall()
    sized = Sized(place=place, broker_url=settings.redis_url, chunks=chunks, keys=keys)
    sized.register()
    sleeps = ",".join(f"{phase}={seconds}" for phase, seconds in STEP_SECONDS.items())
    poll = str(Settings.model_fields["poll_max_seconds"].default)
    shipped = {"BACKFILL_POLL_MAX_SECONDS": poll, "BENCH_SLEEPS": sleeps}
    environment = environment_for({**environment_of(sized.context.settings), **shipped}, place)
    worker = worker_process(sized.context.settings, 1, environment=environment)
    worker.command = _with_slots(worker.command, slots)
    steps = f"backfill:run:{RUN}:steps"
    with supervised([worker]):
        until(lambda: client.zcard("backfill:slots"), seconds=60)
        began = time.monotonic()
        send(RUN, chunks * len(STEP_SECONDS), environment)
        until(lambda: STEP_ENDED.issuperset(client.hvals(steps)), seconds=600)
        seconds = time.monotonic() - began
        assert set(client.hvals(steps)) == {"succeeded"}, "steps of a benchmark failed"
    looks = sum(int(client.get(key) or 0) for key in client.scan_iter("bench:looks"))
    work = chunks * sum(STEP_SECONDS.values()) / slots
    alone = [chunks * STEP_SECONDS[phase] for phase in keys if keys[phase] in EXCLUSIVE.values()]
    return Makespan(
        seconds=seconds,
        least=max([work, *alone]),
        looks=looks / chunks / len(STEP_SECONDS),
    )


def _with_slots(command: Sequence[str], slots: int) -> list[str]:
    """A worker's command, with so many slots instead of one."""
    at = command.index("--concurrency") + 1
    return [*command[:at], str(slots), *command[at + 1 :]]
