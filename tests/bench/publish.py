"""Publishes a plan, or the same canvas on bare Celery, in a process of its own: `WHO CHAINS`.

Prints chains a second of CPU, the process's largest size in MB, and what Redis holds in MB.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from tests.bench.worlds import PHASES, RUN

ROOT = Path(__file__).parents[2]


def published(who: str, chains: int, environment: Mapping[str, str]) -> tuple[float, float, float]:
    """What this module prints."""
    command = [sys.executable, "-m", "tests.bench.publish", who, str(chains)]
    done = subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True)
    rate, size, held = json.loads(done.stdout)
    return rate, size, held


def _ours() -> tuple[float, object]:
    from planner.settings import load_settings
    from worker.run.enqueue import send_run
    from worker.step.context import Context

    context = Context(load_settings(), patient=False)
    plan = context.plan(RUN)
    assert plan is not None
    context.redis.flushall()
    _forget_largest()
    begun = time.process_time()
    context.ledger.register(RUN, plan)
    send_run(context, RUN, plan)
    return time.process_time() - begun, context.redis


def _bare(chains: int) -> tuple[float, object]:
    from tests.bench import bare

    client = bare.app.backend.client
    client.flushall()
    _forget_largest()
    begun = time.process_time()
    bare.send(chains, len(PHASES))
    return time.process_time() - begun, client


def _forget_largest() -> None:
    """What it took to read the plan is another question."""
    Path("/proc/self/clear_refs").write_text("5")


def _largest() -> float:
    """This process alone: `getrusage` also tells what it was before it became this program."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1e3


def main(who: str, chains: int) -> None:
    """Publish, and print."""
    seconds, client = _ours() if who == "ours" else _bare(chains)
    held = client.info("memory")["used_memory_dataset"] / 1e6  # type: ignore[attr-defined]
    print(json.dumps((chains / seconds, _largest(), held)))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
