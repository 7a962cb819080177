"""A run of any size on a real Redis, whose steps do nothing: what is left is the bookkeeping."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from unittest.mock import patch

from redis.connection import AbstractConnection

from planner.gaps.survey import survey
from planner.pipeline.windows import Window
from planner.plan.chunks import chunk_id
from planner.plan.plan import Plan, PlannedChunk, Step
from planner.plan.states import RunState
from tests.integration.bench import DAYS, Bench
from worker.context import Context
from worker.run.plan import Wanted, plan_gaps
from worker.step.attempt import Attempt
from worker.step.ended import Ended

RUN = "run-of-this-bench"
PHASES = ("facts", "second", "third", "fourth")

MORE = """
[[phases]]
name = "{name}"
after = ["{after}"]
{keys}
tables = [{{name = "lake.{name}", date = "day", entities = {{game = "game"}}}}]
[[phases.runners]]
kind = "sql"
statements = ["none"]
"""


@dataclass(kw_only=True)
class Sized:
    """A registered run of `chunks` chunks of one date and four phases."""

    place: Path
    broker_url: str
    chunks: int
    keys: Mapping[str, str] = field(default_factory=dict)
    """Phase, none of the first → more of its keys in the pipeline file."""

    def __post_init__(self) -> None:
        bench = Bench(place=self.place, broker_url=self.broker_url)
        (self.place / "none.sql").write_text("SELECT 1")
        more = [
            MORE.format(name=name, after=after, keys=self.keys.get(name, ""))
            for after, name in pairwise(PHASES)
        ]
        self.context: Context = bench.context(bench.script(more="".join(more)))
        create = "CREATE TABLE lake.fourth (day DATE, game STRING) PARTITION BY day"
        self.context.warehouse.run(create, {})
        self.plan = self._plan()

    def register(self) -> None:
        """Write the run down, under way."""
        self.context.ledger.register(RUN, self.plan)
        self.context.ledger.move(RUN, RunState.RUNNING, [RunState.INCOMPLETE])

    def _plan(self) -> Plan:
        scope = Window(start=DAYS[0], end=DAYS[0])
        health = survey(self.context.warehouse, self.context.pipeline, scope)
        wanted = Wanted(scope=scope, phases=["facts"], chunk_dates=1)
        small = plan_gaps(self.context, health, wanted, ledger=None)
        task = small.chunks[0].steps[0].tasks[0]

        def chunk(day: date) -> PlannedChunk:
            tasks = (task.model_copy(update={"date": day}),)
            steps = (Step(phase=name, start=day, end=day, tasks=tasks) for name in PHASES)
            return PlannedChunk(id=chunk_id((day,)), dates=(day,), steps=tuple(steps))

        chunks = tuple(chunk(DAYS[0] + timedelta(days=n)) for n in range(self.chunks))
        return small.model_copy(update={"chunks": chunks}).sealed()


@contextmanager
def idle_attempts() -> Iterator[None]:
    """Attempts that find every date done, without a look at the warehouse."""

    def done(attempt: Attempt) -> Ended:
        return Ended(done=tuple(attempt.dates), counts=dict.fromkeys(attempt.dates, (1, 1)))

    with patch.object(Attempt, "make", done):
        yield


@contextmanager
def round_trips() -> Iterator[list[int]]:
    """How often this process sends something to Redis: one number per time, its bytes."""
    sent: list[int] = []
    stock = AbstractConnection.send_packed_command

    def count(self: AbstractConnection, command: object, **options: bool) -> None:
        parts = [command] if isinstance(command, str | bytes) else list(command)  # type: ignore[call-overload]
        sent.append(sum(map(len, parts)))
        stock(self, parts, **options)

    with patch.object(AbstractConnection, "send_packed_command", count):
        yield sent
