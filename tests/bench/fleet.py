"""Steps that do nothing on a real worker, and the same canvas on bare Celery."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil
import redis

from planner.sandbox.workers import environment_of
from planner.settings import Settings
from tests.bench.worlds import PHASES, RUN, Sized
from tests.waiting import until
from worker.ledger.connection import connect
from worker.processes.children import Child, supervised
from worker.processes.workers import worker_process

ROOT = Path(__file__).parents[2]
PATCHES = Path(__file__).with_name("patches")
BARE = ["-m", "celery", "-A", "tests.bench.bare", "worker", "--concurrency", "1"]
BARE += ["--loglevel", "WARNING", "--without-mingle", "--without-gossip", "-E"]
LIMIT_SECONDS = 240.0  # of what is waited for: far more than it takes


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a step costs."""

    milliseconds: float
    """Of CPU time: the worker's main process, its child, and Redis."""
    parts: tuple[float, float, float]
    """Of them Redis, the worker's main process, its child."""
    trips: float
    """Round trips of the child; 0 when they were not counted."""
    megabytes: tuple[float, float]
    """Resident memory of the worker's main process, and of its child, at the end."""
    commands: float
    """Of all clients; those inside scripts count too."""
    scripts: float
    """Milliseconds of CPU of processes that the child started, and that have ended."""
    wall: float
    """Milliseconds from the first step's delivery to the end of the last, by the clock."""


def ours(
    settings: Settings,
    place: Path,
    chunks: int,
    *,
    sent: int | None = None,
    count: bool = False,
    worker_url: str | None = None,
    more: Mapping[str, str] | None = None,
) -> Cost:
    """A run of the product; of a large one only the first `sent` chunks.

    The worker may see Redis at another URL than the sender.
    """
    place.mkdir(parents=True)
    client = connect(settings, patient=False)
    client.flushall()
    sized = Sized(place=place, broker_url=settings.redis_url, chunks=chunks)
    sized.register()
    ids = [step for step, _ in sized.plan.steps()][: (sent or chunks) * len(PHASES)]
    of_run = sized.context.settings
    environment = environment_for(environment_of(of_run), place, count=count)
    there = {"BACKFILL_BROKER_URL": worker_url} if worker_url else {}
    environment_there = {**environment, **there, **(more or {})}
    worker = worker_process(of_run, 1, environment=environment_there)

    def ended() -> bool:
        of_steps = f"backfill:run:{RUN}:steps"
        if client.hget(of_steps, ids[-1]) != "succeeded":  # to ask for all costs Redis time
            return False
        states = set(client.hmget(of_steps, ids))
        assert "failed" not in states, "steps of a benchmark failed"
        return states == {"succeeded"}

    return _measure(
        client, worker, place, len(ids), lambda: send(RUN, len(ids), environment), ended
    )


def send(run_id: str, steps: int, environment: Mapping[str, str]) -> None:
    """Send the first steps of a registered run, in a process of its own."""
    _python(["-m", "tests.bench.send", run_id, str(steps)], environment)


def bare(
    settings: Settings,
    place: Path,
    chunks: int,
    *,
    count: bool = False,
    worker_url: str | None = None,
) -> Cost:
    """The same canvas on Celery alone."""
    place.mkdir(parents=True)
    client = connect(settings, patient=False)
    client.flushall()
    url = settings.redis_url.replace("unix://", "redis+socket://", 1)
    environment = environment_for({"BENCH_URL": url}, place, count=count)
    worker = bare_worker({**environment, "BENCH_URL": worker_url or url}, place)

    def send() -> None:
        _python(["-m", "tests.bench.bare", str(chunks), str(len(PHASES))], environment)

    return _measure(
        client, worker, place, chunks * len(PHASES), send, lambda: client.exists("bare-ended")
    )


def bare_worker(environment: Mapping[str, str], place: Path) -> Child:
    """A worker of Celery alone, to be started."""
    return Child(
        name="bare",
        command=[sys.executable, *BARE],
        log=place / "bare.log",
        stop_seconds=10,
        environment=environment,
    )


def with_slots(worker: Child, slots: int) -> Child:
    """The same worker, with so many slots."""
    at = worker.command.index("--concurrency") + 1
    worker.command = [*worker.command[:at], str(slots), *worker.command[at + 1 :]]
    return worker


def _measure(client, worker, place, steps, send, ended) -> Cost:  # type: ignore[no-untyped-def]
    send()
    with supervised([worker]):
        server = psutil.Process(int(client.info("server")["process_id"]))
        until(lambda: client.hlen("unacked") or ended(), seconds=LIMIT_SECONDS)
        main = psutil.Process(worker.process.pid)
        processes = [server, main, *main.children(recursive=True)]
        cpu, commands = [_cpu([each]) for each in processes], _commands(client)
        children = {str(each.pid) for each in processes[2:]}
        started = _started(processes[2:])
        trips, began = _trips(place, children), time.monotonic()
        until(ended, seconds=LIMIT_SECONDS)
        took = time.monotonic() - began
        spent = [
            (_cpu([each]) - before) / steps * 1e3
            for each, before in zip(processes, cpu, strict=True)
        ]
        return Cost(
            milliseconds=sum(spent),
            parts=(spent[0], spent[1], sum(spent[2:])),
            megabytes=(_rss(main), max(_rss(each) for each in processes[2:])),
            trips=(_trips(place, children) - trips) / steps,
            commands=(_commands(client) - commands) / steps,
            scripts=(_started(processes[2:]) - started) / steps * 1e3,
            wall=took / steps * 1e3,
        )


def environment_for(more: Mapping[str, str], place: Path, *, count: bool = False) -> dict[str, str]:
    """What a patched process starts with; with `count` it counts its round trips."""
    paths = os.pathsep.join([str(PATCHES), str(ROOT)])
    trips = {"BENCH_TRIPS": str(place / "trips")} if count else {}
    return {**more, "PYTHONPATH": paths, **trips}


def _python(arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    subprocess.run(
        [sys.executable, *arguments], env={**os.environ, **environment}, cwd=ROOT, check=True
    )


def _cpu(processes: Sequence[psutil.Process]) -> float:
    return sum(sum(each.cpu_times()[:2]) for each in processes)


def _started(processes: Sequence[psutil.Process]) -> float:
    return sum(sum(each.cpu_times()[2:4]) for each in processes)


def _rss(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / 1e6


def _commands(client: redis.Redis) -> int:
    return int(client.info("stats")["total_commands_processed"])


def _trips(place: Path, pids: set[str]) -> int:
    files = (path for path in place.glob("trips.*") if path.suffix[1:] in pids)
    return sum(path.stat().st_size for path in files)
