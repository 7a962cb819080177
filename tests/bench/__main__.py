"""`make bench`: what the bookkeeping costs, in CPU time, round trips, commands and memory.

python -m tests.bench [visits] [steps] [memory] [publish] [idle] [commands] [makespan] [warehouse]
[plan]
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import redis

from planner.sandbox.workers import environment_of
from planner.settings import Settings
from tests.bench import warehouse
from tests.bench.commands import PLANNER, cpu_of
from tests.bench.fleet import Cost, bare, ours
from tests.bench.idle import idle_worker
from tests.bench.makespan import EXCLUSIVE, LOOKBACK, makespan
from tests.bench.planning import planning
from tests.bench.publish import published
from tests.bench.worlds import PHASES, RUN, Sized, idle_attempts, round_trips
from worker.ledger.connection import connect
from worker.processes.embedded_redis import embedded_broker
from worker.step.visit import visit

SIZES = (100, 1_000, 10_000)
CHAINS = 100  # of four steps, on one slot
LARGE = 10_000  # chunks
COUNTED = 50  # chains of which round trips are counted; a count needs no more
VISITED = 30  # chunks per round
ROUNDS = 3
DATES = (10_000, 50_000, 100_000)  # of a plan of five phases
RUN_CHUNKS = 60  # of a run whose length is measured


def main() -> None:
    """Print the rows that are named, or all."""
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores; CPU time, median of rounds")
    with TemporaryDirectory() as place:
        settings = Settings(_env_file=None, home=Path(place) / "home")  # type: ignore[call-arg]
        with embedded_broker(settings):
            for row in sys.argv[1:] or ROWS:
                ROWS[row](settings, Path(place))


def _visits(settings: Settings, place: Path) -> None:
    for size in SIZES:
        sized = Sized(
            place=_made(place / f"visits-{size}"), broker_url=settings.redis_url, chunks=size
        )
        client = connect(settings, patient=False)
        client.flushall()
        before = client.info("memory")["used_memory"]
        sized.register()
        held = client.info("memory")["used_memory"] - before
        milliseconds, trips, commands = _visit(sized, client)
        _row(
            f"visit, {size:,} chunks",
            f"{statistics.median(milliseconds):.2f} ms",
            f"{min(milliseconds):.2f} to {max(milliseconds):.2f}",
            f"{trips:.1f} round trips",
            f"{commands:.0f} commands",
            f"Redis holds {held / 1e6:.1f} MB of the run",
        )


def _visit(sized: Sized, client: redis.Redis) -> tuple[list[float], float, float]:
    """Milliseconds of a visit in each round; round trips and commands of a visit."""
    visited = iter([step for step, _ in sized.plan.steps()])
    count = VISITED * len(PHASES)
    milliseconds, trips, commands = [], 0, 0
    with idle_attempts():
        for _ in PHASES:  # what is opened once
            visit(sized.context, RUN, next(visited), worker="bench")
        for _ in range(ROUNDS):
            commands -= client.info("stats")["total_commands_processed"]
            with round_trips() as sent:
                cpu = time.process_time()
                for _ in range(count):
                    visit(sized.context, RUN, next(visited, ""), worker="bench")
                milliseconds.append((time.process_time() - cpu) / count * 1e3)
            trips += len(sent)
            commands += client.info("stats")["total_commands_processed"] - 1
    return milliseconds, trips / count / ROUNDS, commands / count / ROUNDS


def _steps(settings: Settings, place: Path) -> None:
    costs: dict[str, list[Cost]] = {"bare Celery": [], "a step": []}
    for n in range(ROUNDS):  # in turns, so that the machine's load is that of both
        costs["bare Celery"].append(bare(settings, place / f"bare-{n}", CHAINS))
        costs["a step"].append(ours(settings, place / f"ours-{n}", CHAINS))
    counted = {
        "bare Celery": bare(settings, place / "bare-counted", COUNTED, count=True),
        "a step": ours(settings, place / "ours-counted", COUNTED, count=True),
    }
    for name, each in costs.items():
        spent = [cost.milliseconds for cost in each]
        middle = sorted(each, key=lambda cost: cost.milliseconds)[ROUNDS // 2]
        parts = ", ".join(f"{part:.2f}" for part in middle.parts)
        _row(
            f"{name}, {CHAINS} chains of {len(PHASES)}",
            f"{middle.milliseconds:.2f} ms (Redis, main, child: {parts})",
            f"{min(spent):.2f} to {max(spent):.2f}",
            f"{counted[name].trips:.1f} round trips of the child",
            f"{middle.commands:.0f} commands",
        )


def _memory(settings: Settings, place: Path) -> None:
    peer = bare(settings, place / "bare-memory", COUNTED)
    _row("memory, bare Celery", "main {:.0f} MB, child {:.0f} MB".format(*peer.megabytes))
    for size in (SIZES[0], LARGE):
        cost = ours(settings, place / f"memory-{size}", size, sent=COUNTED)
        _row(f"memory, {size:,} chunks", "main {:.0f} MB, child {:.0f} MB".format(*cost.megabytes))


def _publish(settings: Settings, place: Path) -> None:
    client = connect(settings, patient=False)
    client.flushall()
    sized = Sized(place=_made(place / "publish"), broker_url=settings.redis_url, chunks=LARGE)
    sized.register()
    url = settings.redis_url.replace("unix://", "redis+socket://", 1)
    environment = {
        **os.environ,
        **environment_of(sized.context.settings),
        "BENCH_URL": url,
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    for who in ("ours", "bare Celery"):  # the other way round the run would be gone
        rate, size, held = published(who, LARGE, environment)
        _row(
            f"publishing {LARGE:,} chains of {len(PHASES)}, {who}",
            f"{rate:.0f} a second of CPU",
            f"{size:.0f} MB",
            f"Redis holds {held:.1f} MB",
        )


def _idle(settings: Settings, place: Path) -> None:
    commands, cpu = idle_worker()
    _row("an idle worker", f"{commands:.1f} Redis commands a second", f"{cpu:.2%} CPU")


def _commands(settings: Settings, place: Path) -> None:
    client = connect(settings, patient=False)
    client.flushall()
    sized = Sized(place=_made(place / "commands"), broker_url=settings.redis_url, chunks=500)
    sized.register()
    client.hset(f"backfill:run:{RUN}", "state", "failed")
    environment = {**os.environ, **environment_of(sized.context.settings)}
    python = [sys.executable, "-c"]
    for name, command in {
        "import typer": [*python, "import typer"],
        "planner --help": [PLANNER, "--help"],
        "planner runs": [PLANNER, "runs"],
        "planner status, an ended run of 2,000 steps": [PLANNER, "status", RUN],
    }.items():
        _row(name, f"{cpu_of(command, environment):.0f} ms")


def _makespan(settings: Settings, place: Path) -> None:
    for name, keys, widths in (
        ("one phase one at a time", EXCLUSIVE, (4, 8, 16)),
        ("a lookback of 3 chunks", LOOKBACK, (4, 8)),
    ):
        for slots in widths:
            here = place / f"makespan-{len(keys)}-{slots}"
            found = makespan(settings, here, chunks=RUN_CHUNKS, slots=slots, keys=keys)
            _row(
                f"makespan, {RUN_CHUNKS} chunks of 4, {name}, {slots} slots",
                f"{found.seconds:.1f} s",
                f"at least {found.least:.1f} s: {found.seconds / found.least:.2f} x",
                f"{found.looks:.2f} looks of waiting steps per step",
            )


def _warehouse(settings: Settings, place: Path) -> None:
    for name, (measure, partitions) in warehouse.MEASURED.items():
        ours, by_hand = measure(_made(place / f"warehouse-{partitions}"), partitions)
        ratio = statistics.median(ours) / statistics.median(by_hand)
        told = (
            warehouse.median(ours),
            f"by hand {warehouse.median(by_hand)}",
            f"{ratio:.2f} times",
        )
        _row(name, *told)
    spent, bare = warehouse.scan(_made(place / "warehouse-scan"))
    told = (f"{spent:.0f} ms", f"bare DuckDB {bare:.0f} ms", f"{spent / bare:.2f} times")
    _row("gaps --json of the sandbox", *told)


def _plan(settings: Settings, place: Path) -> None:
    for dates in DATES:
        rounds = [planning(dates) for _ in range(ROUNDS)]
        seconds = [each.seconds for each in rounds]
        peer = statistics.median(each.peer_milliseconds for each in rounds)
        _row(
            f"a plan of {dates:,} dates of five phases, {rounds[0].steps:,} steps",
            f"{statistics.median(seconds):.1f} s",
            f"{min(seconds):.1f} to {max(seconds):.1f}",
            f"{rounds[0].megabytes:.0f} MB beyond the counts",
            f"DuckDB finds the gaps in {peer:.0f} ms",
        )


def _made(place: Path) -> Path:
    place.mkdir()
    return place


def _row(*cells: str) -> None:
    print(" | ".join(cells), flush=True)


ROWS: dict[str, Callable[[Settings, Path], None]] = {
    "visits": _visits,
    "steps": _steps,
    "memory": _memory,
    "publish": _publish,
    "idle": _idle,
    "commands": _commands,
    "makespan": _makespan,
    "warehouse": _warehouse,
    "plan": _plan,
}

if __name__ == "__main__":
    main()
