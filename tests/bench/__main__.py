"""`make bench`: what the bookkeeping costs, in CPU time, round trips and commands."""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from planner.settings import Settings
from tests.bench.worlds import PHASES, RUN, Sized, idle_attempts, round_trips
from worker.ledger.connection import connect
from worker.processes.embedded_redis import embedded_broker
from worker.step.visit import visit

SIZES = (100, 1_000, 10_000)
CHUNKS_VISITED = 30  # per round
ROUNDS = 3


def main() -> None:
    """Print every row."""
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores, CPU time, median of {ROUNDS}")
    with TemporaryDirectory() as place:
        settings = Settings(_env_file=None, home=Path(place) / "home")  # type: ignore[call-arg]
        with embedded_broker(settings):
            for size in map(int, sys.argv[1:]) if sys.argv[1:] else SIZES:
                _visits(settings, Path(place) / str(size), size)


def _visits(settings: Settings, place: Path, size: int) -> None:
    """Visits of steps that do nothing, in a run of some size."""
    place.mkdir()
    client = connect(settings, patient=False)
    client.flushall()
    sized = Sized(place=place, broker_url=settings.redis_url, chunks=size)
    began = client.info("memory")["used_memory"]
    sized.register()
    held = client.info("memory")["used_memory"] - began
    ids = [step for step, _ in sized.plan.steps()]
    sized.plan = sized.plan.model_copy(update={"chunks": ()})
    visited = iter(ids)
    milliseconds, trips, commands = [], 0, 0
    with idle_attempts():
        visit(sized.context, RUN, next(visited), worker="bench")  # what is opened once
        for name in PHASES[1:]:
            visit(sized.context, RUN, next(visited), worker=name)
        before = _rss()
        count = CHUNKS_VISITED * len(PHASES)
        for _ in range(ROUNDS):
            commands -= client.info("stats")["total_commands_processed"]
            with round_trips() as sent:
                cpu = time.process_time()
                for _, step in zip(range(count), visited, strict=False):
                    visit(sized.context, RUN, step, worker="bench")
                milliseconds.append((time.process_time() - cpu) / count * 1e3)
            trips += len(sent)
            commands += client.info("stats")["total_commands_processed"] - 1
    visits = count * ROUNDS
    _row(
        f"visit, {size:,} chunks",
        f"{statistics.median(milliseconds):.2f} ms",
        f"({min(milliseconds):.2f} to {max(milliseconds):.2f})",
        f"{trips / visits:.1f} round trips",
        f"{commands / visits:.1f} commands",
        f"Redis holds {held / 1e6:.1f} MB",
        f"process {before} MB",
    )
    client.close()


def _rss() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") // 2**20


def _row(*cells: object) -> None:
    print(" | ".join(_texts(cells)), flush=True)


def _texts(cells: Iterable[object]) -> list[str]:
    return [str(cell) for cell in cells]


if __name__ == "__main__":
    main()
