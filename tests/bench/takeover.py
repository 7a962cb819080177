"""How long the steps of workers that are killed stand still, with the settings that ship."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date
from pathlib import Path

import psutil

from tests.bench.fleet import with_slots
from tests.bench.idle import shipped
from tests.bench.rows import Figures, Row, World, limited, say
from tests.integration.tiny import Tiny
from tests.waiting import until
from worker.processes.children import Child, supervised

VICTIMS = 3  # each at a step of its own, and killed at the same moment
LIMIT_SECONDS = 240.0
SAME_HOST_SECONDS, MORE_SECONDS = 3.0, 3.0
OTHER_HOST = Path(__file__).with_name("other_host")


def rows(world: World) -> Iterator[Row]:
    """On the same host, which knows that they died, and on another, which cannot."""
    for name, other in (("the same", False), ("another", True)):
        say(f"  {name} host")
        tiny = Tiny(world.folder(name.split()[-1]))
        tiny.settings = shipped(tiny.settings)
        lease = tiny.settings.lease_seconds
        yield limited(
            f"kill -9 of {VICTIMS} workers in a step, until {name} host has it",
            Figures(_takeover(tiny, other_host=other), "s"),
            most=lease + MORE_SECONDS if other else SAME_HOST_SECONDS,
            beside=f"lease {lease:.0f} s, visibility {tiny.settings.visibility_seconds} s",
        )


def _takeover(tiny: Tiny, *, other_host: bool) -> list[float]:
    """Seconds until each step has begun again."""
    victims = [with_slots(tiny.worker_process(n), 1) for n in range(1, VICTIMS + 1)]
    for victim in victims:
        victim.restart_seconds = 2 * LIMIT_SECONDS
    survivor = with_slots(tiny.worker_process(VICTIMS + 1), VICTIMS)
    if other_host:
        paths = os.pathsep.join([str(OTHER_HOST), survivor.environment["PYTHONPATH"]])
        elsewhere = {"BENCH_HOST": "another-host", "PYTHONPATH": paths}
        survivor.environment = {**survivor.environment, **elsewhere}
    days = tiny.days(VICTIMS)
    with tiny.up(worker=False), ExitStack() as stack:
        stack.enter_context(supervised(victims))
        for day in days:
            tiny.hold(day)
        tiny.enqueue(days, ["a"])
        for day in days:
            tiny.holder(day)
        stack.enter_context(supervised([survivor]))
        until(lambda: tiny.client.zcard("backfill:slots") == VICTIMS + 1, seconds=LIMIT_SECONDS)
        for victim in victims:
            _kill(victim)
        seconds = _begun_again(tiny, days)
        for day in days:
            tiny.let_go(day)
    return seconds


def _kill(worker: Child) -> None:
    assert worker.process is not None
    main = psutil.Process(worker.process.pid)
    for each in (main, *main.children(recursive=True)):
        each.kill()


def _begun_again(tiny: Tiny, days: list[date]) -> list[float]:
    killed, found = time.monotonic(), dict[date, float]()

    def look() -> bool:
        for day in days:
            if day not in found and len(tiny.scripts(day)) == 2:
                found[day] = time.monotonic() - killed
        return len(found) == len(days)

    until(look, seconds=LIMIT_SECONDS)
    return [*found.values()]
