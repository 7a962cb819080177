"""A tiny pipeline on a real fleet: real Redis, a real worker with two slots, a real warehouse.

    raw → a → b, d → c        raw → t → u

`a` and `t` are scripts that note every moment at which they work; the others are statements.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import redis

from planner.gaps.gaps import Gap, GapReason
from planner.gaps.survey import survey
from planner.pipeline.windows import Window
from planner.plan.choose import Repair
from planner.plan.chunks import chunk
from planner.plan.plan import make_plan, new_id
from planner.sandbox.workers import environment_of
from planner.settings import Settings
from tests.chaos.proxy import Proxy
from tests.waiting import until
from worker.context import Context
from worker.ledger.orders import PLAIN, Orders
from worker.ledger.record import RunRecord
from worker.processes.children import Child, supervised
from worker.processes.embedded_redis import find_redis_server
from worker.processes.workers import worker_process
from worker.run.enqueue import free_lane

FIRST = date(2024, 1, 1)
DAYS = 120
GAMES = 2  # per date
LOG_LINES = 80  # of a worker whose run does not end
ALL = ("a", "b", "d", "c")
PATCHES = Path(__file__).with_name("patches")

PIPELINE = """
name = "tiny"
[[seasons]]
name = "2024"
year = 2024
start = 2024-01-01
end = 2024-12-31
[[phases]]
name = "raw"
tables = [{name = "lake.raw", date = "day", entities = {game = "game"}}]
"""

PHASE = """
[[phases]]
name = "{name}"
after = {after}
retries = {retries}
retry_seconds = 0.2
timeout_seconds = {timeout}
tables = [{{name = "lake.{name}", date = "day", entities = {{game = "game"}}}}]
[[phases.runners]]
"""

SCRIPT = """kind = "script"
command = ["sh", "{place}/job.sh", "{place}", "{name}", "{{start}}"]
"""

SQL = """kind = "sql"
statements = ["{name}_clear", "{name}"]
"""

JOB = """# job.sh PLACE PHASE DAY: works as long as PHASE.DAY.wait is there.
key="$1/$2.$3"
if [ -e "$key.leaves" ]; then setsid sleep 600 & fi
if [ -e "$key.fails" ]; then echo "no such game" >&2; exit 3; fi
while
  echo "$$ $(date +%s%N)" >> "$key.ticks"
  [ -e "$key.wait" ]
do sleep 0.05; done
"""

CLEAR = "DELETE FROM lake.{name} WHERE day BETWEEN @start_date AND @end_date"
FILL = (
    "INSERT INTO lake.{name} SELECT day, game FROM lake.raw "
    "WHERE day BETWEEN @start_date AND @end_date "
    "AND day NOT IN (SELECT day FROM lake.bad WHERE phase = '{name}')"
)


class Tiny:
    """The world, and what tests do in it. Every test takes days of its own."""

    def __init__(self, place: Path) -> None:
        self.place = place
        with Proxy.free_port() as port:
            self.port = port
        self.settings = Settings(
            _env_file=None,  # type: ignore[call-arg]
            warehouse=f"local:{place / 'warehouse'}",
            pipeline=str(place / "tiny.toml"),
            broker_url=f"redis://127.0.0.1:{port}/0",
            home=place / "home",
            lease_seconds=2,
            visibility_seconds=2,
            reconcile_seconds=1,
            grace_seconds=1,
            poll_max_seconds=0.3,
        )
        self._write()
        self.context = Context(self.settings)
        self.ledger = self.context.ledger
        self.client: redis.Redis = self.context.redis
        self._build()
        self._next_day = 0
        self._planner: subprocess.Popen[str] | None = None
        self.server = Child(
            name="redis", command=self._redis(), log=place / "redis.log", stop_seconds=5
        )
        self.worker = self.worker_process(1)

    # -- what is there -----------------------------------------------------------------------

    def _write(self) -> None:
        def phase(name: str, after: list[str], runner: str, retries: int, timeout: float) -> str:
            head = PHASE.format(name=name, after=after, retries=retries, timeout=timeout)
            return head + runner.format(name=name, place=self.place)

        (self.place / "job.sh").write_text(JOB)
        (self.place / "tiny.toml").write_text(
            PIPELINE
            + phase("a", ["raw"], SCRIPT, 1, 60)
            + phase("b", ["a"], SQL, 1, 60)
            + phase("d", ["a"], SQL, 1, 60)
            + phase("c", ["b", "d"], SQL, 1, 60)
            + phase("t", ["raw"], SCRIPT, 0, 0.5)
            + phase("u", ["t"], SQL, 0, 60)
        )
        for name in ("b", "d", "c", "u"):
            (self.place / f"{name}_clear.sql").write_text(CLEAR.format(name=name))
            (self.place / f"{name}.sql").write_text(FILL.format(name=name))

    def _build(self) -> None:
        (self.place / "warehouse").mkdir()
        run = self.context.warehouse.run
        run("CREATE TABLE lake.bad (day DATE, phase STRING)", {})
        for name in ("raw", *ALL, "t", "u"):
            run(f"CREATE TABLE lake.{name} (day DATE, game STRING) PARTITION BY day", {})
            run(
                f"INSERT INTO lake.{name} SELECT day, CAST(game AS STRING) AS game "
                "FROM UNNEST(GENERATE_DATE_ARRAY(@first, @last)) AS day "
                "CROSS JOIN UNNEST(GENERATE_ARRAY(1, @games)) AS game",
                {"first": FIRST, "last": FIRST + timedelta(days=DAYS - 1), "games": GAMES},
            )
        self.context.warehouse.identify()  # as when a run is sent: its dates are told apart by it
        scope = Window(start=FIRST, end=FIRST + timedelta(days=DAYS - 1))
        self._health = survey(self.context.warehouse, self.context.pipeline, scope)

    def _redis(self) -> list[str]:
        command = [str(find_redis_server()), "--port", str(self.port), "--bind", "127.0.0.1"]
        return [*command, "--dir", str(self.place), "--save", "", "--appendonly", "yes"]

    def worker_process(
        self, number: int, *, broker_url: str | None = None, warehouse: str | None = None
    ) -> Child:
        """A worker with two slots."""
        environment = {
            **self.environment,
            "PYTHONPATH": str(PATCHES),
            "TINY_PLACE": str(self.place),
        }
        if broker_url is not None:
            environment["BACKFILL_BROKER_URL"] = broker_url
        if warehouse is not None:
            environment["BACKFILL_WAREHOUSE"] = warehouse
        child = worker_process(self.settings, number, environment=environment)
        command = list(child.command)
        command[command.index("--concurrency") + 1] = "2"
        child.command = command
        return child

    @property
    def environment(self) -> dict[str, str]:
        """The settings, for workers."""
        return environment_of(self.settings)

    @property
    def child_environment(self) -> dict[str, str]:
        """What a command needs."""
        return {**os.environ, **self.environment}

    @contextmanager
    def up(self, *, worker: bool = True) -> Iterator[None]:
        """Redis, a planner, and a worker that is started again when it dies."""
        self.server.start()
        until(self._answers)
        self._planner = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.publisher"],
            env=self.child_environment,
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            with supervised([self.worker] if worker else []):
                yield
        finally:
            self._planner.communicate("")
            self.client.close()
            self.server.stop()

    def _answers(self) -> bool:
        client = redis.Redis(port=self.port, single_connection_client=True)
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()

    # -- what tests do -----------------------------------------------------------------------

    def days(self, count: int) -> list[date]:
        """Days that no other test uses, none beside another."""
        first = self._next_day
        self._next_day += 2 * count
        return [FIRST + timedelta(days=first + 2 * n) for n in range(count)]

    def say(self, *words: str) -> str:
        """Let the planner do something."""
        assert self._planner is not None
        assert self._planner.stdin is not None
        assert self._planner.stdout is not None
        self._planner.stdin.write(" ".join(words) + "\n")
        self._planner.stdin.flush()
        answer = self._planner.stdout.readline().strip()
        assert answer
        return answer

    def register(
        self,
        days: Sequence[date],
        phases: Collection[str] = ALL,
        *,
        deadline_seconds: int | None = None,
        chunk_dates: int = 1,
        orders: Orders = PLAIN,
    ) -> str:
        """Write a run down; its rows are there, so that a step that runs is a step done."""
        pipeline = self.context.pipeline
        todo = {
            phase: {
                day: Gap(
                    phase=phase,
                    date=day,
                    reason=GapReason.MISSING,
                    expected=GAMES,
                    found=0,
                    tables=(f"lake.{phase}",),
                )
                for day in days
            }
            for phase in phases
        }
        plan = make_plan(
            pipeline,
            self._health,
            Repair(todo=todo, skipped=(), owed={}),
            chunk(pipeline, todo, [], size=chunk_dates),
            warehouse=self.context.warehouse.name,
            warehouse_id=self.context.warehouse.identify(),
            scope=Window(start=min(days), end=max(days)),
        )
        run_id = new_id("run", datetime.now(UTC))
        orders = replace(orders, deadline_seconds=deadline_seconds)
        self.ledger.register(run_id, plan, orders)
        return run_id

    def enqueue(
        self,
        days: Sequence[date],
        phases: Collection[str] = ALL,
        *,
        chunk_dates: int = 1,
        orders: Orders = PLAIN,
    ) -> str:
        orders = replace(orders, lane=free_lane(self.context, orders.priority))
        run_id = self.register(days, phases, chunk_dates=chunk_dates, orders=orders)
        self.say("send", run_id)
        return run_id

    def heal(self, day: date) -> None:
        """Statements make a day's rows again."""
        self.context.warehouse.run("DELETE FROM lake.bad WHERE day = @day", {"day": day})

    def spoil(self, day: date, phase: str) -> None:
        """From now on a statement makes no rows of a day."""
        statement = "INSERT INTO lake.bad SELECT @day AS day, @phase AS phase"
        self.context.warehouse.run(statement, {"day": day, "phase": phase})

    def lose(self, day: date, phase: str) -> None:
        self.context.warehouse.run(f"DELETE FROM lake.{phase} WHERE day = @day", {"day": day})

    def hold(self, day: date, phase: str = "a", *, leaves: bool = False) -> None:
        """Let a script work until it is let go; with `leaves`, its child outlives it."""
        (self.place / f"{phase}.{day}.wait").touch()
        if leaves:
            (self.place / f"{phase}.{day}.leaves").touch()

    def let_go(self, day: date, phase: str = "a") -> None:
        (self.place / f"{phase}.{day}.wait").unlink()

    def is_held(self, day: date, phase: str = "a") -> bool:
        """Whether a script works, or would work, until it is let go."""
        return (self.place / f"{phase}.{day}.wait").exists()

    # -- what tests see ----------------------------------------------------------------------

    def ticks(self, day: date, phase: str = "a") -> list[tuple[int, int]]:
        """(process, nanoseconds) of every moment at which a script worked on a day."""
        try:
            text = (self.place / f"{phase}.{day}.ticks").read_text()
        except FileNotFoundError:
            return []
        lines = [line.split() for line in text.splitlines(keepends=True) if line.endswith("\n")]
        return [(int(pid), int(moment)) for pid, moment in lines]

    def scripts(self, day: date, phase: str = "a") -> list[int]:
        """The processes that worked on a day, in order."""
        return list(dict.fromkeys(pid for pid, _ in self.ticks(day, phase)))

    @staticmethod
    def works(pid: int) -> bool:
        """Whether a process is there, and not only its number."""
        try:
            return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def holder(self, day: date) -> psutil.Process:
        """The pool process that runs a day's script now."""
        until(lambda: self.scripts(day))
        return psutil.Process(psutil.Process(self.scripts(day)[-1]).ppid())

    def ended(self, run_id: str, *, seconds: float = 40) -> RunRecord:
        """The record of a run's end."""
        try:
            until(lambda: self.ledger.require(run_id).is_ended, seconds=seconds)
        except AssertionError as error:
            error.add_note(self._how_it_stands(run_id))
            raise
        return self.ledger.require(run_id)

    def _how_it_stands(self, run_id: str) -> str:
        """What is to be known of a run that does not end: its folder is gone soon."""
        log = self.worker.log.read_text(errors="replace").splitlines()[-LOG_LINES:]
        held = [str(each.get("shadow")) for each in self.messages()]
        steps = [str(each) for each in self.ledger.step_records(run_id)]
        return "\n".join([*steps, f"messages that a worker holds: {held}", *log])

    def states(self, run_id: str) -> dict[str, str]:
        return {step: str(state) for step, state in self.ledger.steps(run_id).items()}

    def messages(self) -> list[dict[str, Any]]:
        """Messages that a worker holds: their headers, and what is to follow them."""
        found = []
        for value in self.client.hvals("unacked"):
            message = json.loads(value)[0]
            embedded = json.loads(base64.b64decode(message["body"]))[2]
            found.append({**message["headers"], **embedded})
        return found
