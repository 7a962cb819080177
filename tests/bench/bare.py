"""The peer: Celery alone, with its own defaults, and a task that does nothing."""

from __future__ import annotations

import os
import sys

from celery import Celery, chain, chord

app = Celery("bare", broker=os.environ["BENCH_URL"], backend=os.environ["BENCH_URL"])
# What the product needs too: at least once, and results that say what they are of.
app.conf.update(task_acks_late=True, worker_prefetch_multiplier=1, result_extended=True)


@app.task(name="bare.step")
def step(run_id: str, step_id: str) -> str:
    """A step of a bare chain."""
    return "succeeded"


@app.task(name="bare.final")
def final() -> None:
    """Its end."""
    app.backend.client.set("bare-ended", 1)


def send(chains: int, links: int) -> None:
    """Send a chord of so many chains."""
    header = [chain(*(step.si("run", f"{n}/{m}") for m in range(links))) for n in range(chains)]
    chord(header, final.si()).apply_async()


if __name__ == "__main__":
    # As `__main__` the tasks have another app: send those of the module that the worker imports.
    from tests.bench import bare

    bare.send(int(sys.argv[1]), int(sys.argv[2]))
