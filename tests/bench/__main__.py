"""`make bench`: what the bookkeeping costs, each row beside its limit or peer in the same run.

python -m tests.bench [ROW …] measures the rows that are named, or all, and writes them into
docs/performance.md as they are measured.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from planner.settings import Settings
from tests.bench import (
    afar,
    commands,
    idle,
    makespan,
    planning,
    publish,
    script,
    steps,
    takeover,
    visits,
    warehouse,
    whole,
)
from tests.bench.page import write
from tests.bench.rows import Row, World, say
from worker.processes.embedded_redis import embedded_broker

ROWS: Mapping[str, Callable[[World], Iterator[Row]]] = {
    "steps": steps.rows,
    "delayed": steps.delayed,
    "visits": visits.rows,
    "memory": steps.memory,
    "publish": publish.rows,
    "plan": planning.rows,
    "recount": warehouse.recounts,
    "sql": warehouse.sql_steps,
    "script": script.rows,
    "commands": commands.rows,
    "idle": idle.rows,
    "takeover": takeover.rows,
    "scan": warehouse.scans,
    "makespan": makespan.rows,
    "status": afar.rows,
    "whole": whole.rows,
}
"""In the order of the table."""


def main(names: list[str]) -> int:
    """Measure the rows that are named, or all."""
    if unknown := [name for name in names if name not in ROWS]:
        print(f"There is no row {unknown[0]}. Rows: {', '.join(ROWS)}", file=sys.stderr)
        return 2
    say(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # what is measured is not how Python compiles
    are_measured = True
    for number, name in enumerate(names or ROWS, 1):
        say(f"{name}, {number} of {len(names or ROWS)}, load {os.getloadavg()[0]:.1f}")
        try:
            measure(name, ROWS[name])
        except Exception:  # a benchmark that fails leaves its old rows, and the others their turn
            traceback.print_exc()
            say(f"{name} was not measured: its rows in docs/performance.md are older ones")
            are_measured = False
    return 0 if are_measured else 1


def measure(name: str, benchmark: Callable[[World], Iterator[Row]]) -> None:
    """Measure one, in a world of its own, and write its rows down."""
    load = os.getloadavg()[0]
    rows: list[Row] = []
    with TemporaryDirectory() as place:
        settings = Settings(_env_file=None, home=Path(place) / "home")  # type: ignore[call-arg]
        with embedded_broker(settings):
            for row in benchmark(World(settings=settings, place=Path(place) / "world")):
                say("  " + " | ".join(row.cells))
                rows.append(row)
    write("bench", name, rows, load=load, order=[*ROWS])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
