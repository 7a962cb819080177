"""A run under fire: start it, hurt the fleet until it has ended, and count what was lost."""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import redis

from tests.conftest import Sandbox
from worker.children import Child
from worker.fleet import Fleet
from worker.ledger import RunRecord
from worker.states import STEP_ENDED, DateState

RUN_SECONDS = 300.0
LOOK_SECONDS = 0.2

SEED = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6))

QUICK = {
    "lease_seconds": 2,
    "visibility_seconds": 6,
    "reconcile_seconds": 3,
    "grace_seconds": 3,
    "poll_max_seconds": 0.5,
}
"""Settings that make a fleet notice within seconds what takes minutes by default."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table in docs/reliability.md."""

    fault: str
    injected: int
    steps: int
    lost: int
    """Phases and dates that the run took and did not do."""
    repeated: int
    """Attempts beyond the first of each step."""
    stuck: int
    """Steps that had not ended when the run should have."""
    concluded: int
    """How often the run was finalized."""
    equal: bool
    """Whether the warehouse equals the one built in one piece, row for row."""
    seconds: float


ROWS: list[Row] = []

Hurt = Callable[[int], bool]
"""Does harm for the n-th time; whether it did."""


def break_warehouse(sandbox: Sandbox, *, seed: int, holes: int) -> None:
    place = sandbox.settings.warehouse.removeprefix("local:")
    done = sandbox.planner("sandbox", "punch", place, "--seed", str(seed), "--holes", str(holes))
    assert done.code == 0, done.err


def enqueue(sandbox: Sandbox, *, chunk_dates: int = 2) -> str:
    done = sandbox.planner("enqueue", "--gaps", "--json", "--chunk-dates", str(chunk_dates))
    assert done.code == 0, done.err
    run_id: str = done.json["run_id"]
    return run_id


def under_fire(
    sandbox: Sandbox, run_id: str, hurt: Hurt, *, times: int, pause: tuple[float, float]
) -> tuple[RunRecord, int]:
    """Hurt at most `times` times, at random moments, and wait for the run's end."""
    rng = random.Random(SEED)
    fleet = Fleet(sandbox.settings)
    deadline = time.monotonic() + RUN_SECONDS
    next_hurt = time.monotonic() + rng.uniform(*pause)
    hurts = 0
    while True:
        record = fleet.ledger.run(run_id)
        if record is not None and (record.is_ended or time.monotonic() > deadline):
            return record, hurts
        assert time.monotonic() < deadline, "the run is forgotten"
        if hurts < times and time.monotonic() >= next_hurt:
            hurts += hurt(hurts)
            next_hurt = time.monotonic() + rng.uniform(*pause)
        threading.Event().wait(LOOK_SECONDS)


def judge(sandbox: Sandbox, fault: str, record: RunRecord, *, injected: int, began: float) -> Row:
    """Count what became of a run; the row is kept for the report."""
    ledger = Fleet(sandbox.settings).ledger
    states = ledger.steps(record.id)
    dates = ledger.all_dates(record.id)
    attempts = [step.attempt for step in ledger.step_records(record.id, states)]
    row = Row(
        fault=fault,
        injected=injected,
        steps=len(states),
        lost=sum(state is not DateState.DONE for state in dates.values()),
        repeated=sum(max(0, attempt - 1) for attempt in attempts),
        stuck=sum(state not in STEP_ENDED for state in states.values()),
        concluded=concluded(sandbox, record.id),
        equal=sandbox.differences() == [],
        seconds=time.monotonic() - began,
    )
    ROWS.append(row)
    print(row)
    return row


def expect_whole(row: Row) -> None:
    """Zero lost, zero stuck, finalized once, and equal."""
    assert (row.lost, row.stuck, row.concluded, row.equal) == (0, 0, 1, True), row


def concluded(sandbox: Sandbox, run_id: str) -> int:
    """How often the workers say that they have ended a run."""
    logs = (sandbox.settings.home_dir / "logs").glob("worker-*.log")
    lines = [line for log in logs for line in log.read_text(errors="replace").splitlines()]
    return sum(f"{run_id} has ended" in line for line in lines)


def kill_something(rng: random.Random, workers: list[Child]) -> bool:
    """kill -9: a worker, one of its pool processes, or both at once."""
    alive = [worker for worker in workers if worker.is_alive and worker.process]
    if not alive:
        return False
    worker = rng.choice(alive)
    assert worker.process is not None
    with contextlib.suppress(psutil.Error, ProcessLookupError):
        main = psutil.Process(worker.process.pid)
        pool = main.children()
        victims = {"main": [main], "pool": pool, "both": [main, *pool]}[
            rng.choice(("main", "pool", "both"))
        ]
        for victim in victims:
            victim.kill()
        return bool(victims)
    return False


def tree(worker: Child) -> list[psutil.Process]:
    """A worker and everything below it."""
    assert worker.process is not None
    with contextlib.suppress(psutil.Error):
        main = psutil.Process(worker.process.pid)
        return [main, *main.children(recursive=True)]
    return []


def client_of(sandbox: Sandbox) -> redis.Redis:
    return redis.Redis.from_url(sandbox.settings.redis_url)


def write_report(path: Path) -> None:
    """The table of docs/reliability.md."""
    lines = [
        "# Reliability",
        "",
        "What happens to a run when its fleet is hurt, by a real fleet on real Redis and a real",
        "warehouse. Made by `make chaos` with",
        f"`CHAOS_SEED={SEED}`; every run had random holes in every phase, and its cascade.",
        "",
        "- *lost*: phases and dates that the run took and did not do",
        "- *repeated*: attempts beyond each step's first; their effect is the same as once",
        "- *stuck*: steps that never ended",
        "- *finalized*: how often the run was validated and reported",
        "- *equal*: every table equals, row for row, the one built in one piece",
        "",
        "| fault | injected | steps | lost | repeated | stuck | finalized | equal | seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.fault} | {row.injected} | {row.steps} | {row.lost} | {row.repeated} | {row.stuck} "
        f"| {row.concluded} | {'yes' if row.equal else 'no'} | {row.seconds:.0f} |"
        for row in ROWS
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
