"""What an idle worker asks of Redis, and what it costs, beside one of bare Celery."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import redis

from planner.settings import Settings
from tests.bench.fleet import LIMIT_SECONDS, bare_worker, environment_for, with_slots
from tests.bench.rows import Figures, Row, World, beside, limited, say
from tests.integration.tiny import Tiny
from tests.waiting import until
from worker.ledger.connection import connect
from worker.ledger.slots import slots_now
from worker.processes.children import Child, supervised

ROUNDS = 3
SECONDS = 20.0  # of a round
COMMANDS = 3  # a second, at most
STARTS_SECONDS = 5.0  # what a worker does when it starts is no part of it
SHIPPED = ("lease_seconds", "visibility_seconds", "reconcile_seconds", "poll_max_seconds")


def rows(world: World) -> Iterator[Row]:
    """Both are idle at the same time, each on a Redis of its own."""
    url = world.settings.redis_url.replace("unix://", "redis+socket://", 1)
    place = world.folder("idle")
    bare = bare_worker(environment_for({"BENCH_URL": url}, place), place)
    tiny = Tiny(world.folder("tiny"))
    tiny.settings = shipped(tiny.settings)
    tiny.worker = with_slots(tiny.worker_process(1), 1)
    peer = connect(world.settings, patient=False)
    with tiny.up(), supervised([bare]):
        until(
            lambda: slots_now(tiny.client) and peer.exists("_kombu.binding.celery"),
            seconds=LIMIT_SECONDS,
        )
        time.sleep(STARTS_SECONDS)
        sides = ((tiny.client, tiny.worker), (peer, bare))
        asked: tuple[list[float], ...] = ([], [])
        spent: tuple[list[float], ...] = ([], [])
        for n in range(ROUNDS):
            say(f"  round {n + 1} of {ROUNDS}")
            before, began = [_now(*side) for side in sides], time.monotonic()
            time.sleep(SECONDS)
            took = time.monotonic() - began
            for m, side in enumerate(sides):
                commands, cpu = _now(*side)
                asked[m].append((commands - before[m][0] - 1) / took)
                spent[m].append((cpu - before[m][1]) / took * 100)
    commands, bare_commands = (Figures(each, "a second") for each in asked)
    cpu, bare_cpu = (Figures(each, "% of a core") for each in spent)
    yield limited(
        "an idle worker: commands of Redis",
        commands,
        most=COMMANDS,
        beside=f"bare Celery {bare_commands}",
    )
    yield beside("an idle worker: CPU", cpu, bare_cpu, of="bare Celery", most=1.5)


def shipped(settings: Settings) -> Settings:
    """With the times that ship, in place of those that make tests quick."""
    fields = Settings.model_fields
    return settings.model_copy(update={name: fields[name].default for name in SHIPPED})


def _now(client: redis.Redis, worker: Child) -> tuple[int, float]:
    """Commands that a Redis was asked, scripts' own too; seconds of CPU that a worker took."""
    assert worker.process is not None
    main = psutil.Process(worker.process.pid)
    processes = [main, *main.children(recursive=True)]
    cpu = sum(_cpu(each) for each in processes)
    return int(client.info("stats")["total_commands_processed"]), cpu


def _cpu(process: psutil.Process) -> float:
    """Seconds, by the scheduler's own count: ticks of 10 ms are too few to count in a round."""
    threads = Path(f"/proc/{process.pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9
