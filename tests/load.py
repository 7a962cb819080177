"""`make load`: hundreds of commands at once, fifty idle workers, thousands of parked steps.

Every scene is bounded: what takes longer than `LIMIT_SECONDS` fails. The table is that of
docs/stress.md. LOAD_SCALE=0.1 does a tenth of it, and only prints it; `python -m tests.load parked`
does one scene.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory

import psutil
import redis

from planner.gaps.survey import survey
from planner.pipeline.windows import Window
from planner.plan.chunks import chunk_id
from planner.plan.plan import PlannedChunk, Step
from planner.plan.states import RunState
from planner.sandbox.workers import environment_of
from planner.settings import Settings
from tests.bench.fleet import ROOT, send
from tests.bench.worlds import RUN
from tests.integration.bench import DAYS, GAMES, Bench
from tests.integration.service import Answer, Call, Service, served
from tests.integration.tiny import Tiny
from tests.stress import table
from tests.waiting import until
from worker.ledger.connection import connect
from worker.processes.children import supervised
from worker.processes.embedded_redis import embedded_broker
from worker.processes.workers import worker_process
from worker.run.plan import Wanted, plan_gaps

PLANNER = str(Path(sys.executable).with_name("planner"))
SCALE = float(os.environ.get("LOAD_SCALE", "1"))
LIMIT_SECONDS = 240.0  # of one scene
IDLE_SECONDS = 20.0  # that idle workers, and parked steps, are watched
BATCH_SECONDS = 12.0  # that the service works on a batch
POLL_SECONDS = 0.5  # between two looks at it, as the pipeline file asks for

RUNNER = """
[[phases.runners]]
kind = "http_batch"
url = "{url}"
poll_seconds = {poll}
settle_seconds = 1
"""


def main() -> None:
    """Run the scenes that are named, or all, and write the table after each."""
    rows: list[list[str]] = []
    for name in sys.argv[1:] or SCENES:
        before = os.getloadavg()[0]
        rows.append([*SCENES[name](), f"{before:.0f}"])
        columns = ["asked", "answered", "what it cost", "load of the machine before"]
        remark = f"{os.cpu_count()} cores, which others used too."
        table("load", remark, columns, rows, is_whole=SCALE == 1)


def _scaled(count: int) -> int:
    return max(1, round(count * SCALE))


def _status() -> list[str]:
    with _run_that_goes_on() as (tiny, run_id):
        return _at_once(tiny, _scaled(200), ["status", run_id, "--json"], {0})


def _gaps() -> list[str]:
    with _run_that_goes_on() as (tiny, _):
        return _at_once(tiny, _scaled(60), ["gaps", "--json"], {0, 1})


@contextmanager
def _run_that_goes_on() -> Iterator[tuple[Tiny, str]]:
    with TemporaryDirectory() as place:
        tiny = Tiny(Path(place))
        with tiny.up():
            held, *others = tiny.days(20)
            tiny.hold(held)
            run_id = tiny.enqueue([held, *others])
            until(lambda: tiny.scripts(held), seconds=60)
            yield tiny, run_id
            tiny.let_go(held)
            assert tiny.ended(run_id).state is RunState.COMPLETE


def _at_once(tiny: Tiny, count: int, command: Sequence[str], right: set[int]) -> list[str]:
    began, commands = time.monotonic(), _asked(tiny.client)
    processes = [
        subprocess.Popen(
            [PLANNER, *command],
            env=tiny.child_environment,
            cwd=tiny.place,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(count)
    ]
    told: Counter[str] = Counter()
    for process in processes:
        said, _ = process.communicate(timeout=LIMIT_SECONDS)
        told[f"exit code {process.returncode}"] += 1
        assert process.returncode in right, said
        assert "Traceback" not in said
    took = time.monotonic() - began
    asked = (_asked(tiny.client) - commands) / count
    codes = ", ".join(f"{n} × {code}" for code, n in told.items())
    return [
        f"{count} × `planner {command[0]}` at once, while a run goes on",
        f"{codes}; the run was complete",
        f"{took:.0f} s in all, {asked:.0f} commands of Redis each, the fleet's among them",
    ]


def _idle_workers() -> list[str]:
    count = _scaled(50)
    with TemporaryDirectory() as place:
        tiny = Tiny(Path(place))
        shipped = {"lease_seconds": 30, "visibility_seconds": 60, "reconcile_seconds": 30}
        tiny.settings = tiny.settings.model_copy(update=shipped)
        workers = [tiny.worker_process(n) for n in range(1, count + 1)]
        for worker in workers:  # one slot in the process itself: half the memory
            worker.command = [*worker.command, "--pool", "solo"]
        with tiny.up(worker=False), supervised(workers):
            until(lambda: tiny.client.zcard("backfill:slots") == count, seconds=LIMIT_SECONDS)
            with _watched(tiny.client, [each.process for each in workers]) as found:
                time.sleep(IDLE_SECONDS)
            day = tiny.days(1)
            began = time.monotonic()
            run = tiny.ended(tiny.enqueue(day), seconds=LIMIT_SECONDS)
            took = time.monotonic() - began
            assert run.state is RunState.COMPLETE
            died = sum(worker.restarts for worker in workers)
    return [
        f"{count} idle workers on one Redis, for {IDLE_SECONDS:.0f} s",
        f"{died} died; a run of four steps after it took {took:.1f} s",
        f"{found['commands']:.0f} commands a second, {found['redis']:.0%} of a core in Redis, "
        f"{found['processes']:.0%} in the workers",
    ]


@contextmanager
def _watched(
    client: redis.Redis, processes: Sequence[subprocess.Popen[bytes] | None]
) -> Iterator[dict[str, float]]:
    """What Redis was asked while the block ran, and what it cost it and some processes."""
    found: dict[str, float] = {}
    server = psutil.Process(int(client.info("server")["process_id"]))
    mains = [psutil.Process(each.pid) for each in processes if each is not None]
    own = [each for main in mains for each in (main, *main.children(recursive=True))]
    began, commands, redis_cpu, cpu = time.monotonic(), _asked(client), _cpu([server]), _cpu(own)
    yield found
    took = time.monotonic() - began
    found["commands"] = (_asked(client) - commands) / took
    found["redis"] = (_cpu([server]) - redis_cpu) / took
    found["processes"] = (_cpu(own) - cpu) / took


def _cpu(processes: Sequence[psutil.Process]) -> float:
    return sum(sum(each.cpu_times()[:2]) for each in processes)


def _asked(client: redis.Redis) -> int:
    return int(client.info("stats")["total_commands_processed"])


class Slow:
    """A service that takes one batch at a time, and when it was asked."""

    def __init__(self) -> None:
        self.started: list[float] = []
        self.looked: list[float] = []

    def start(self, call: Call) -> Answer:
        self.started.append(time.monotonic())
        return 202, {"status": "started", "batch_id": f"b{len(self.started)}"}

    def status(self, call: Call) -> Answer:
        if not self.started:
            return 200, {"status": "no_active_batch"}
        self.looked.append(time.monotonic())
        is_done = time.monotonic() - self.started[-1] > BATCH_SECONDS
        progress = {"completed": len(self.looked), "is_complete": is_done}
        state = "complete" if is_done else "running"
        return 200, {
            "status": state,
            "batch_id": f"b{len(self.started)}",
            "progress": progress,
        }


def _parked() -> list[str]:
    """Thousands of steps that wait for one service."""
    count, slow = _scaled(5_000), Slow()
    with TemporaryDirectory() as place, served(Service(start=slow.start, status=slow.status)) as at:
        settings = Settings(_env_file=None, home=Path(place) / "home")  # type: ignore[call-arg]
        with embedded_broker(settings):
            environment = _registered(Path(place) / "bench", settings.redis_url, at.url, count)
            client = connect(settings, patient=False)
            send(RUN, count, environment)
            home = settings.model_copy(update={"home": Path(place) / "workers"})
            workers = [worker_process(home, n, environment=environment) for n in (1, 2)]
            with supervised(workers):
                until(lambda: len(slow.looked) > 1, seconds=LIMIT_SECONDS)
                waits_all = time.monotonic()
                until(lambda: client.zcard("backfill:later:facts") > 0.9 * count, seconds=240)
                waits_all = time.monotonic() - waits_all
                first, looks = slow.looked[0] - slow.started[0], len(slow.looked)
                with _watched(client, [each.process for each in workers]) as found:
                    time.sleep(IDLE_SECONDS)
                between = [b - a for a, b in zip(slow.looked, slow.looked[1:], strict=False)]
    assert len(slow.looked) > looks
    return [
        f"{count:,} steps that wait for one service, two workers; a look at its batch each "
        f"{POLL_SECONDS} s, and a batch takes {BATCH_SECONDS:.0f} s",
        f"first look after {first:.1f} s; between two looks {median(between):.1f} s, at most "
        f"{max(between):.1f} s (95 of 100 within {quantiles(between, n=20)[-1]:.1f} s)",
        f"{found['commands']:.0f} commands a second, {found['redis']:.0%} of a core in Redis, "
        f"{found['processes']:.0%} in the workers",
    ]


def _registered(place: Path, broker_url: str, service: str, count: int) -> Mapping[str, str]:
    """A run of so many steps of one phase, written down; the environment of its workers."""
    place.mkdir()
    bench = Bench(place=place, broker_url=broker_url)
    context = bench.context(RUNNER.format(url=service, poll=POLL_SECONDS))
    context.warehouse.run(  # what every step is computed from; else it would not wait
        "INSERT INTO lake.raw SELECT day, CAST(game AS STRING) AS game "
        "FROM UNNEST(GENERATE_DATE_ARRAY(@first, @last)) AS day "
        "CROSS JOIN UNNEST(GENERATE_ARRAY(1, @games)) AS game",
        {
            "first": DAYS[-1] + timedelta(days=1),
            "last": DAYS[0] + timedelta(days=count),
            "games": GAMES,
        },
    )
    scope = Window(start=DAYS[0], end=DAYS[0])
    health = survey(context.warehouse, context.pipeline, scope)
    wanted = Wanted(scope=scope, phases=["facts"], chunk_dates=1)
    small = plan_gaps(context, health, wanted, ledger=None)
    task = small.chunks[0].steps[0].tasks[0]
    assert task.expected == {"game": GAMES}
    chunks = []
    for n in range(count):
        day = DAYS[0] + timedelta(days=n)
        step = Step(
            phase="facts", start=day, end=day, tasks=(task.model_copy(update={"date": day}),)
        )
        chunks.append(PlannedChunk(id=chunk_id((day,)), dates=(day,), steps=(step,)))
    plan = small.model_copy(update={"chunks": tuple(chunks)}).sealed()
    context.ledger.register(RUN, plan)
    context.ledger.move(RUN, RunState.RUNNING, [RunState.INCOMPLETE])
    shipped = {"BACKFILL_POLL_MAX_SECONDS": "10", "PYTHONPATH": str(ROOT)}
    return {**environment_of(context.settings), **shipped}


SCENES: dict[str, Callable[[], list[str]]] = {
    "parked": _parked,
    "status": _status,
    "idle": _idle_workers,
    "gaps": _gaps,
}


if __name__ == "__main__":
    main()
