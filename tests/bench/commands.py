"""What short commands cost: CPU time of a process from its start to its end."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from planner.sandbox.workers import environment_of
from tests.bench.rows import Figures, Row, World, limited
from tests.bench.worlds import RUN, Sized
from worker.ledger.connection import connect

PLANNER = str(Path(sys.executable).with_name("planner"))
ROUNDS = 5
CHUNKS = 500  # of four steps
HELP_MS, STATUS_MS = 150, 300


def rows(world: World) -> Iterator[Row]:
    """Short commands, in turns with the library that each of them needs."""
    place = world.folder("commands")
    sized = Sized(place=place, broker_url=world.settings.redis_url, chunks=CHUNKS)
    sized.register()
    client = connect(world.settings, patient=False)
    client.hset(f"backfill:run:{RUN}", "state", "failed")
    environment = {**os.environ, **environment_of(sized.context.settings)}
    commands: dict[str, list[str]] = {
        "import typer": [sys.executable, "-c", "import typer"],
        "planner --help": [PLANNER, "--help"],
        "planner runs": [PLANNER, "runs"],
        f"planner status` of an ended run of {CHUNKS * 4:,} steps": [PLANNER, "status", RUN],
    }
    spent: dict[str, list[float]] = {name: [] for name in commands}
    for n in range(ROUNDS + 1):  # the first finds no compiled modules
        for name, command in commands.items():
            spent[name] += [cpu_once(command, environment)] if n else []
    peer = f"`import typer` {Figures(spent.pop('import typer'))}"
    for name, figures in spent.items():
        most = HELP_MS if "--help" in name else STATUS_MS
        tick = "" if "`" in name else "`"
        yield limited(f"`{name}{tick}, CPU", Figures(figures), most=most, beside=peer)


def cpu_once(command: Sequence[str], environment: Mapping[str, str]) -> float:
    """Milliseconds of a process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=environment, capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3
