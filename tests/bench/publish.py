"""Publishes a plan, or the same canvas on bare Celery, in a process of its own: `WHO CHAINS`.

Prints chains a second of CPU, the process's largest size in MB, and what Redis holds in MB.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.bench.largest import forget_largest, largest
from tests.bench.rows import Figures, Row, World, at_least, beside, limited, say, short
from tests.bench.worlds import PHASES, RUN

ROOT = Path(__file__).parents[2]
CHAINS = 10_000
ROUNDS = 3
MEGABYTES = 200.0


def rows(world: World) -> Iterator[Row]:
    """Publishing a large plan: how fast, how large, and what Redis holds then."""
    environment = _registered(world)
    found: dict[str, list[tuple[float, float, float]]] = {"bare": [], "ours": []}
    for n in range(ROUNDS):
        say(f"  round {n + 1} of {ROUNDS}")
        for who, told in found.items():
            told.append(published(who, CHAINS, environment))
    rate, size, held = (
        [Figures([told[n] for told in of], unit) for of in (found["ours"], found["bare"])]
        for n, unit in enumerate(("a second of CPU", "MB", "MB"))
    )
    times = rate[0].over(rate[1])
    yield Row(
        question=f"publishing {CHAINS:,} chunks",
        here=str(rate[0]),
        beside=f"Celery's `apply_async` {rate[1]}: {short(times)} ×",
        mark="≥ 1.5 ×",
        met=at_least(times, 1.5),
    )
    yield limited(
        "memory of the process that publishes them, at its largest",
        size[0],
        most=MEGABYTES,
        beside=f"Celery {size[1]}",
    )
    yield beside(
        f"Redis after publishing {CHAINS:,} chunks", *held, of="the same canvas on Celery", most=1.1
    )


def _registered(world: World) -> dict[str, str]:
    """The run's plan in a file, as publishing empties Redis; the environment of who publishes."""
    from planner.sandbox.workers import environment_of
    from tests.bench.worlds import Sized

    place = world.folder("publish")
    sized = Sized(place=place, broker_url=world.settings.redis_url, chunks=CHAINS)
    (place / "plan.json").write_text(sized.plan.model_dump_json())
    return {
        **os.environ,
        **environment_of(sized.context.settings),
        "BENCH_URL": world.settings.redis_url.replace("unix://", "redis+socket://", 1),
        "BENCH_PLAN": str(place / "plan.json"),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }


def published(who: str, chains: int, environment: Mapping[str, str]) -> tuple[float, float, float]:
    """What this module prints."""
    command = [sys.executable, "-m", "tests.bench.publish", who, str(chains)]
    done = subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True)
    rate, size, held = json.loads(done.stdout)
    return rate, size, held


def _ours() -> tuple[float, object]:
    from planner.plan.plan import Plan
    from planner.settings import load_settings
    from worker.context import Context
    from worker.run.enqueue import send_run

    context = Context(load_settings(), patient=False)
    plan = Plan.model_validate_json(Path(os.environ["BENCH_PLAN"]).read_bytes())
    context.redis.flushall()
    forget_largest()
    begun = time.process_time()
    context.ledger.register(RUN, plan)
    send_run(context, RUN, plan)
    return time.process_time() - begun, context.redis


def _bare(chains: int) -> tuple[float, object]:
    from tests.bench import bare

    client = bare.app.backend.client
    client.flushall()
    forget_largest()
    begun = time.process_time()
    bare.send(chains, len(PHASES))
    return time.process_time() - begun, client


def main(who: str, chains: int) -> None:
    """Publish, and print."""
    seconds, client = _ours() if who == "ours" else _bare(chains)
    held = client.info("memory")["used_memory_dataset"] / 1e6  # type: ignore[attr-defined]
    print(json.dumps((chains / seconds, largest(), held)))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
