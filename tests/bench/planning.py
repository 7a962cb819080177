"""What a plan of many dates costs, from counts to a sealed plan, beside DuckDB on the same counts.

`python -m tests.bench.planning DATES` plans once and prints its CPU seconds and megabytes: memory
is that of a process of its own, beyond the counts that it is given.
"""

from __future__ import annotations

import gc
import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

import duckdb

from planner.__main__ import GARBAGE
from planner.evidence.evidence import Evidence, unsure
from planner.gaps.assess import assess
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Window
from planner.plan.choose import choose
from planner.plan.chunks import chunk
from planner.plan.plan import make_plan
from sql.warehouse import Cell, Coverage
from tests.bench.largest import forget_largest, largest
from tests.bench.rows import Figures, Row, World, at_most, limited, say, short

START = date(1900, 1, 1)
PHASES = ("raw", "clean", "daily", "scores", "grades")
HOLES = 0.3  # of the dates of each phase but the first
ROUNDS = 3
SMALL, LARGE, HUGE = 10_000, 100_000, 1_000_000  # dates
LARGE_SECONDS, LARGE_MEGABYTES = 2, 300  # beyond the counts, which it is given
HUGE_SECONDS, HUGE_MEGABYTES = 60.0, 6_000.0  # not measured where more is to be expected

PEER = """
WITH due AS (
  SELECT number, day, games
  FROM cells, (SELECT unnest(range(1, 5)) AS number)
  WHERE phase = 0
)
SELECT number, due.day
FROM due
ANTI JOIN cells AS own
  ON own.phase = due.number AND own.day = due.day AND own.games = due.games
"""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A plan of many dates."""

    seconds: float
    megabytes: float
    """More than the counts take."""
    peer_milliseconds: float
    """DuckDB's look for the same gaps, which plans nothing."""
    steps: int


def rows(world: World) -> Iterator[Row]:
    """A plan of many dates, of more, and of very many where that may be tried."""
    found = {}
    for dates in (SMALL, LARGE):
        say(f"  {dates:,} dates")
        found[dates] = [planning(dates) for _ in range(ROUNDS)]
        yield from _rows(dates, found[dates])
    large = found[LARGE][0]
    told = f"{large.seconds * 10:.0f} s and {large.megabytes / 100:.0f} GB are to be expected"
    seconds, megabytes = large.seconds * 10, large.megabytes * 10
    if seconds <= HUGE_SECONDS and megabytes <= HUGE_MEGABYTES:
        say(f"  {HUGE:,} dates")
        huge = planning(HUGE)
        times = huge.seconds / Figures([each.seconds for each in found[LARGE]]).median
        yield Row(
            question=f"a plan of {HUGE:,} dates of five phases, CPU",
            here=f"{short(huge.seconds)} s, {huge.megabytes:,.0f} MB",
            beside=f"{short(times)} × that of {LARGE:,}",
            mark="linear: ≤ 11 ×",
            met=at_most(times, 11),
        )
    else:
        yield Row(
            question=f"a plan of {HUGE:,} dates of five phases, CPU",
            here=f"not measured: {told}",
            mark="linear",
            met="not shown",
        )


def _rows(dates: int, found: list[Planned]) -> Iterator[Row]:
    peer = Figures([each.peer_milliseconds for each in found])
    what = f"a plan of {dates:,} dates of five phases, 30 % holes ({found[0].steps:,} steps)"
    duck = f"DuckDB finds the same gaps, and plans nothing: {peer}"
    seconds = Figures([each.seconds for each in found], "s")
    megabytes = Figures([each.megabytes for each in found], "MB")
    if dates == LARGE:
        yield limited(f"{what}, CPU", seconds, most=LARGE_SECONDS, beside=duck)
        yield limited(f"memory of a plan of {dates:,} dates", megabytes, most=LARGE_MEGABYTES)
    else:
        yield Row(question=f"{what}, CPU", here=str(seconds), beside=duck)
        yield Row(question=f"memory of a plan of {dates:,} dates", here=str(megabytes))


def planning(dates: int) -> Planned:
    """Plan so many dates in a process of its own."""
    command = [sys.executable, "-m", "tests.bench.planning", str(dates)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return Planned(**json.loads(told))


def main(dates: int) -> None:
    """Plan once."""
    gc.set_threshold(*GARBAGE)
    pipeline, coverage = _pipeline(), _coverage(dates)
    window = Window(start=START, end=START + timedelta(days=dates - 1))
    forget_largest()
    before, began = largest(), time.process_time()
    evidence = Evidence(coverage=coverage)
    assert not unsure(pipeline, evidence, PHASES, list(window.days())), "a hole lacks every id"
    found = assess(pipeline, evidence, window)
    repair = choose(pipeline, found, scope=window, phases=PHASES[1:])
    busy = {day for name in PHASES for day in (*found.complete[name], *found.gaps[name])}
    chunks = chunk(pipeline, repair.todo, busy, size=pipeline.chunk_dates)
    plan = make_plan(pipeline, found, repair, chunks, warehouse="local:bench", scope=window)
    told = {
        "seconds": time.process_time() - began,
        "megabytes": largest() - before,
        "peer_milliseconds": _peer(coverage),
        "steps": plan.steps_total,
    }
    print(json.dumps(told))


def _pipeline() -> Pipeline:
    phases: list[dict[str, object]] = [{"name": PHASES[0], "tables": [_table(PHASES[0])]}]
    runner = {"kind": "script", "command": ["true"]}
    for after, name in pairwise(PHASES):
        own = {"name": name, "after": [after], "tables": [_table(name)], "runners": [runner]}
        phases.append(own)
    return Pipeline.model_validate({"name": "wide", "start": START, "phases": phases})


def _table(name: str) -> dict[str, object]:
    return {"name": f"lake.{name}", "date": "day", "entities": {"game": "game_id"}}


def _coverage(dates: int) -> Mapping[str, Coverage]:
    """Every date whole in the first phase, and holes in the others."""
    chance = random.Random(1)
    days = [START + timedelta(days=n) for n in range(dates)]
    shown = {day: (chance.randrange(1, 16), chance.getrandbits(62)) for day in days}
    return {
        f"lake.{name}": {
            day: Cell(rows=10 * games, entities={"game": games}, fingerprints={"game": ids})
            for day, (games, ids) in shown.items()
            if name == PHASES[0] or chance.random() >= HOLES
        }
        for name in PHASES
    }


def _peer(coverage: Mapping[str, Coverage]) -> float:
    """CPU milliseconds of DuckDB, which has the counts as columns."""
    import pyarrow as pa

    rows = [
        (number, day, cell.entities["game"])
        for number, cells in enumerate(coverage.values())
        for day, cell in cells.items()
    ]
    cells = pa.table(dict(zip(("phase", "day", "games"), zip(*rows, strict=True), strict=True)))
    connection = duckdb.connect()
    connection.register("given", cells)
    connection.execute("CREATE TABLE cells AS SELECT * FROM given")
    began = time.process_time()
    connection.sql(PEER).to_arrow_table()
    return (time.process_time() - began) * 1e3


if __name__ == "__main__":
    main(int(sys.argv[1]))
