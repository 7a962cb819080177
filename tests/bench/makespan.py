"""How long a run takes from its first step to its last, beside the least that it could take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from planner.plan.states import STEP_ENDED
from planner.sandbox.workers import environment_of
from planner.settings import Settings
from tests.bench.fleet import LIMIT_SECONDS, environment_for, send, with_slots
from tests.bench.rows import Figures, Row, World, at_most, say, short
from tests.bench.worlds import RUN, Sized
from tests.waiting import until
from worker.ledger.connection import connect
from worker.processes.children import supervised
from worker.processes.workers import worker_process

STEP_SECONDS = {"facts": 0.73, "second": 0.73, "third": 0.41, "fourth": 0.73}
EXCLUSIVE = {"third": "concurrency = 1"}
LOOKBACK = {"second": "lookback_days = 3", "third": "lookback_days = 3"}
CHUNKS = 60
ROUNDS = 2  # of half a minute each: what is measured are sleeps
ASKED = (
    ("a phase runs one at a time in the fleet", EXCLUSIVE, (4, 8, 16)),
    ("a lookback of 3 chunks", LOOKBACK, (4, 8)),
)


@dataclass(frozen=True, kw_only=True)
class Makespan:
    """A run's length."""

    seconds: float
    least: float
    """No order of steps takes less: all work on all slots, or the phase that runs one at a time."""
    looks: float
    """Deliveries of a step that found it waiting, per step."""


def rows(world: World) -> Iterator[Row]:
    """The length of a run at several widths, and how often its steps were looked at in vain."""
    looks = []
    for what, keys, widths in ASKED:
        for slots in widths:
            say(f"  {what}, {slots} slots")
            found = [
                makespan(
                    world.settings,
                    world.folder(f"{len(keys)}-{slots}-{n}"),
                    chunks=CHUNKS,
                    slots=slots,
                    keys=keys,
                )
                for n in range(ROUNDS)
            ]
            seconds, least = Figures([each.seconds for each in found], "s"), found[0].least
            times = seconds.median / least
            looks += [(each.looks, f"{what}, {slots} slots") for each in found]
            yield Row(
                question=f"makespan of {CHUNKS} chunks × 4, {what}, {slots} slots",
                here=str(seconds),
                beside=f"lower bound {short(least)} s: {short(times)} ×",
                mark="≤ 1.1 ×",
                met=at_most(times, 1.1),
            )
    most, where = max(looks)
    yield Row(
        question="looks of waiting steps, per step, at most in a round",
        here=f"{short(most)} ({where})",
        mark="≤ 0.2",
        met=at_most(most, 0.2),
    )


def makespan(
    settings: Settings, place: Path, *, chunks: int, slots: int, keys: dict[str, str]
) -> Makespan:
    """Run `chunks` chunks of four steps that sleep; `keys` are more keys of phases."""
    client = connect(settings, patient=False)
    client.flushall()
    sized = Sized(place=place, broker_url=settings.redis_url, chunks=chunks, keys=keys)
    sized.register()
    sleeps = ",".join(f"{phase}={seconds}" for phase, seconds in STEP_SECONDS.items())
    poll = str(Settings.model_fields["poll_max_seconds"].default)
    shipped = {"BACKFILL_POLL_MAX_SECONDS": poll, "BENCH_SLEEPS": sleeps}
    environment = environment_for({**environment_of(sized.context.settings), **shipped}, place)
    worker = worker_process(sized.context.settings, 1, environment=environment)
    with_slots(worker, slots)
    steps = f"backfill:run:{RUN}:steps"
    with supervised([worker]):
        until(lambda: client.zcard("backfill:slots"), seconds=LIMIT_SECONDS)
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
