"""What a visit of a step costs, from its message to its settlement, whatever the plan's size."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from unittest.mock import patch

from planner.settings import Settings
from tests.bench.rows import Figures, Row, World, at_most, say, short
from tests.bench.worlds import PHASES, RUN, Sized, idle_attempts, round_trips
from worker.ledger import connection
from worker.processes.embedded_redis import embedded_broker
from worker.step.visit import visit

SIZES = (100, 1_000, 10_000, 100_000)
ROUNDS = 11
OF_ROUND = (SIZES[0] - 1) * len(PHASES) // ROUNDS  # visits: the smallest plan has no more
REGISTER_SECONDS = 300.0  # for Redis to take the largest plan, which a busy machine lets wait


def rows(world: World) -> Iterator[Row]:
    """A row per size, each on a Redis of its own; in turns, since a machine's load changes."""
    with ExitStack() as stack, idle_attempts():
        runs = [_registered(world, size, stack) for size in SIZES]
        for n in range(ROUNDS):
            say(f"  round {n + 1} of {ROUNDS}")
            for run in runs:
                run.visit(OF_ROUND)
    smallest = Figures(runs[0].milliseconds)
    for size, run in zip(SIZES, runs, strict=True):
        spent, trips = Figures(run.milliseconds), run.trips / ROUNDS / OF_ROUND
        times = spent.over(smallest)
        is_first = run is runs[0]
        yield Row(
            question=f"a visit at {size:,} chunks, CPU",
            here=f"{spent}, {short(trips)} round trips; Redis holds {run.megabytes:.1f} MB of "
            "the run",
            beside="" if is_first else f"{short(times)} × that at {SIZES[0]}",
            mark="" if is_first else "≤ 1.1 ×",
            met="" if is_first else at_most(times, 1.1),
        )


@dataclass(kw_only=True)
class Visited:
    """A run whose steps are visited one after the other."""

    sized: Sized
    megabytes: float
    """Of the run in Redis."""
    steps: Iterator[str]
    milliseconds: list[float] = field(default_factory=list)
    trips: int = 0

    def visit(self, count: int) -> None:
        """Visit the next steps: a round."""
        with round_trips() as sent:
            cpu = time.process_time()
            for _ in range(count):
                visit(self.sized.context, RUN, next(self.steps), worker="bench")
            self.milliseconds.append((time.process_time() - cpu) / count * 1e3)
        self.trips += len(sent)


def _registered(world: World, size: int, stack: ExitStack) -> Visited:
    say(f"  a plan of {size:,} chunks")
    place = world.folder(f"visits-{size}")
    settings = Settings(_env_file=None, home=place / "home")  # type: ignore[call-arg]
    stack.enter_context(embedded_broker(settings))
    with patch.object(connection, "SOCKET_SECONDS", REGISTER_SECONDS):
        sized = Sized(place=place, broker_url=settings.redis_url, chunks=size)
        before = sized.context.redis.info("memory")["used_memory"]
        sized.register()
    held = sized.context.redis.info("memory")["used_memory"] - before
    steps = iter([step for step, _ in sized.plan.steps()])
    for _ in PHASES:  # what is opened once
        visit(sized.context, RUN, next(steps), worker="bench")
    return Visited(sized=sized, megabytes=held / 1e6, steps=steps)
