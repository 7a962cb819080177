"""A whole repair, from the command to the end of all: 30 dates of four phases, on two slots."""

from __future__ import annotations

import os
import resource
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import psutil

from planner.plan.states import RunState
from planner.sandbox.workers import environment_of
from planner.settings import Settings
from sql import open_warehouse
from tests.bench.commands import PLANNER
from tests.bench.fleet import PATCHES, ROOT
from tests.bench.rows import Figures, Row, World, say
from tests.waiting import until
from worker.ledger.connection import connect
from worker.ledger.ledger import Ledger
from worker.processes.workers import run_workers

DATES = 30
PHASES = ("first", "second", "third", "fourth")
STEPS = DATES * len(PHASES)
WORKERS = 2  # of one slot each
GAMES = 3  # per date
FIRST = date(2024, 1, 1)
LIMIT_SECONDS = 240.0
ROUNDS = 3

HEAD = """
name = "whole"
start = {first}
end = {last}
[[phases]]
name = "raw"
tables = [{{name = "lake.raw", date = "day", entities = {{game = "game"}}}}]
"""

PHASE = """
[[phases]]
name = "{name}"
after = ["{after}"]
tables = [{{name = "lake.{name}", date = "day", entities = {{game = "game"}}}}]
runners = [{{kind = "sql", statements = ["{name}_clear", "{name}"]}}]
"""

CLEAR = "DELETE FROM lake.{name} WHERE day BETWEEN @start_date AND @end_date"
FILL = (
    "INSERT INTO lake.{name} SELECT day, game FROM lake.{after} "
    "WHERE day BETWEEN @start_date AND @end_date"
)


@dataclass(frozen=True, kw_only=True)
class Whole:
    """What a step of it took, all told."""

    wall: float
    """Milliseconds by the clock, over all steps."""
    cpu: float
    """Milliseconds of CPU: the command, the workers and Redis."""


def rows(world: World) -> Iterator[Row]:
    """With statements, and with steps that do nothing."""
    for name, real in (("real SQL", True), ("no-op", False)):
        found = []
        for n in range(ROUNDS):
            say(f"  {name}, round {n + 1} of {ROUNDS}")
            found.append(whole(world.settings, world.folder(f"{name}-{n}"), real=real))
        wall, cpu = (Figures([getattr(each, what) for each in found]) for what in ("wall", "cpu"))
        yield Row(
            question=f"{DATES} dates × {len(PHASES)}, from the command to the end of all, a step: "
            f"{name}",
            here=f"{cpu} CPU, {wall} by the clock",
            beside="`make bench-peers`, below",
        )


def whole(settings: Settings, place: Path, *, real: bool) -> Whole:
    """Repair dates that are missing; or let steps that do nothing make whole dates anew, so that
    what is counted at the end is there."""
    client = connect(settings, patient=False)
    client.flushall()
    of_run = settings.model_copy(
        update={
            "warehouse": f"local:{place / 'warehouse'}",
            "pipeline": str(place / "whole.toml"),
            "broker_url": settings.redis_url,
            "home": place / "home",
        }
    )
    _write(place, is_whole=not real)
    environment = environment_of(of_run)
    patched = {} if real else {"PYTHONPATH": os.pathsep.join([str(PATCHES), str(ROOT)])}
    asked = ["--gaps"] if real else ["--redo", "--all"]
    command = [PLANNER, "enqueue", *asked, "--chunk-dates", "1", "--yes"]
    ledger = Ledger(client)
    with run_workers(of_run, workers=WORKERS, environment={**environment, **patched}) as workers:
        until(lambda: client.zcard("backfill:slots") == WORKERS, seconds=LIMIT_SECONDS)
        server = psutil.Process(int(client.info("server")["process_id"]))
        mains = [psutil.Process(each.process.pid) for each in workers if each.process]
        fleet = [server, *mains, *(child for main in mains for child in main.children())]
        before, began = _cpu(fleet), time.monotonic()
        own = _run(command, {**os.environ, **environment})
        (run,) = ledger.runs()
        until(lambda: ledger.require(run.id).is_ended, seconds=LIMIT_SECONDS)
        wall, spent = time.monotonic() - began, _cpu(fleet) - before + own
        ended = ledger.require(run.id)
        assert ended.state is RunState.COMPLETE, f"the run of a benchmark is {ended.state}"
        assert len(ledger.steps(run.id)) == STEPS
    return Whole(wall=wall / STEPS * 1e3, cpu=spent / STEPS * 1e3)


def _run(command: list[str], environment: Mapping[str, str]) -> float:
    """Seconds of CPU of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, env=environment, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _cpu(processes: list[psutil.Process]) -> float:
    return sum(sum(each.cpu_times()[:2]) for each in processes)


def _write(place: Path, *, is_whole: bool) -> None:
    """The pipeline file and its warehouse."""
    pairs = [*pairwise(("raw", *PHASES))]
    last = FIRST + timedelta(days=DATES - 1)
    phases = [PHASE.format(name=name, after=after) for after, name in pairs]
    (place / "whole.toml").write_text(HEAD.format(first=FIRST, last=last) + "".join(phases))
    for after, name in pairs:
        (place / f"{name}_clear.sql").write_text(CLEAR.format(name=name))
        (place / f"{name}.sql").write_text(FILL.format(name=name, after=after))
    warehouse = open_warehouse(f"local:{place / 'warehouse'}")
    for name in ("raw", *PHASES):
        warehouse.run(f"CREATE TABLE lake.{name} (day DATE, game STRING) PARTITION BY day", {})
        if name == "raw" or is_whole:
            warehouse.run(
                f"INSERT INTO lake.{name} SELECT day, CAST(game AS STRING) AS game "
                "FROM UNNEST(GENERATE_DATE_ARRAY(@first, @last)) AS day "
                "CROSS JOIN UNNEST(GENERATE_ARRAY(1, @games)) AS game",
                {"first": FIRST, "last": last, "games": GAMES},
            )
    warehouse.close()
