"""What a visit of a step costs, from its message to its settlement, whatever the plan's size."""

from __future__ import annotations

import time
from collections.abc import Iterator

import redis

from tests.bench.rows import Figures, Row, World, at_most, say, short
from tests.bench.worlds import PHASES, RUN, Sized, idle_attempts, round_trips
from worker.ledger.connection import connect
from worker.step.visit import visit

SIZES = (100, 1_000, 10_000, 100_000)
ROUNDS = 5  # of an equal share of the smallest plan's steps


def rows(world: World) -> Iterator[Row]:
    """A row per size; each is compared with the smallest."""
    smallest: Figures | None = None
    for size in SIZES:
        say(f"  a plan of {size:,} chunks")
        client = connect(world.settings, patient=False)
        client.flushall()
        before = client.info("memory")["used_memory"]
        place = world.folder(f"visits-{size}")
        sized = Sized(place=place, broker_url=world.settings.redis_url, chunks=size)
        sized.register()
        held = client.info("memory")["used_memory"] - before
        spent, trips = _visits(sized, client)
        smallest = smallest or spent
        times = spent.over(smallest)
        yield Row(
            question=f"a visit at {size:,} chunks, CPU",
            here=f"{spent}, {short(trips)} round trips; Redis holds {held / 1e6:.1f} MB of the run",
            beside="" if size == SIZES[0] else f"{short(times)} × that at {SIZES[0]}",
            mark="" if size == SIZES[0] else "≤ 1.1 ×",
            met="" if size == SIZES[0] else at_most(times, 1.1),
        )


def _visits(sized: Sized, client: redis.Redis) -> tuple[Figures, float]:
    """Milliseconds of a visit in each round; round trips of one."""
    visited = iter([step for step, _ in sized.plan.steps()])
    milliseconds: list[float] = []
    trips, count = 0, 0
    with idle_attempts():
        for _ in PHASES:  # what is opened once
            visit(sized.context, RUN, next(visited), worker="bench")
        of_round = (SIZES[0] - 1) * len(PHASES) // ROUNDS
        for _ in range(ROUNDS):
            with round_trips() as sent:
                cpu = time.process_time()
                for _ in range(of_round):
                    visit(sized.context, RUN, next(visited), worker="bench")
                milliseconds.append((time.process_time() - cpu) / of_round * 1e3)
            trips, count = trips + len(sent), count + of_round
    return Figures(milliseconds), trips / count
