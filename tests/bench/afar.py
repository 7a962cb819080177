"""What those who look at a large run wait for, and ask, when Redis is some way off."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping

from planner.sandbox.workers import environment_of
from planner.settings import Settings
from tests.bench.commands import PLANNER
from tests.bench.delay import delayed
from tests.bench.fleet import environment_for, send
from tests.bench.rows import Figures, Row, World, at_most, limited, say, short
from tests.bench.worlds import RUN, Sized
from worker.ledger.connection import connect

ROUNDS = 5
CHUNKS = 500  # of four steps
FAR_SECONDS = 0.002  # to Redis and back
STATUS_SECONDS, WATCH_COMMANDS = 0.6, 100
FIRST_SECONDS, WATCH_SECONDS = 5.0, 15.0  # the first look, which reads all; then it is counted


def rows(world: World) -> Iterator[Row]:
    """`status` by the clock, and the commands of `watch`, of a run that goes on."""
    client = connect(world.settings, patient=False)
    place = world.folder("afar")
    sized = Sized(place=place, broker_url=world.settings.redis_url, chunks=CHUNKS)
    sized.register()
    shipped = str(Settings.model_fields["reconcile_seconds"].default)
    of_run = {**environment_of(sized.context.settings), "BACKFILL_RECONCILE_SECONDS": shipped}
    send(RUN, CHUNKS * 4, environment_for(of_run, place))
    near = {**os.environ, **of_run}
    with delayed(world.settings.redis_url, FAR_SECONDS) as url:
        far = {**near, "BACKFILL_BROKER_URL": url}
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(ROUNDS):
            times[0].append(_status(near))
            before = int(client.info("stats")["total_commands_processed"])
            times[1].append(_status(far))
            commands = int(client.info("stats")["total_commands_processed"]) - before - 1
        yield limited(
            f"`status` on {CHUNKS * 4:,} steps, Redis at {FAR_SECONDS * 1e3:.0f} ms, by the clock",
            Figures(times[1], "s"),
            most=STATUS_SECONDS,
            beside=f"beside Redis {Figures(times[0], 's')}; {commands:,} commands",
        )
        say(f"  watch, for {FIRST_SECONDS + WATCH_SECONDS:.0f} s")
        with subprocess.Popen(
            [PLANNER, "watch", RUN], env=far, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as watch:
            time.sleep(FIRST_SECONDS)
            before = int(client.info("stats")["total_commands_processed"])
            time.sleep(WATCH_SECONDS)
            rate = int(client.info("stats")["total_commands_processed"]) - before - 1
            assert watch.poll() is None, "it stopped watching"
            watch.terminate()
    yield Row(
        question=f"`watch` on {CHUNKS * 4:,} steps, commands of Redis a second",
        here=short(rate / WATCH_SECONDS),
        mark=f"≤ {WATCH_COMMANDS}",
        met=at_most(rate / WATCH_SECONDS, WATCH_COMMANDS),
    )


def _status(environment: Mapping[str, str]) -> float:
    began = time.monotonic()
    subprocess.run([PLANNER, "status", RUN], env=environment, capture_output=True, check=False)
    return time.monotonic() - began
