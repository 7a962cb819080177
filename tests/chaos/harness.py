"""A run under fire: start it, hurt the fleet until it has ended, and count what was lost."""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import psutil
import redis

from planner.plan.states import STEP_ENDED, DateState, StepState
from tests.conftest import Sandbox
from worker.context import Context
from worker.ledger.record import RunRecord
from worker.processes.children import Child

RUN_SECONDS = 240.0
LOOK_SECONDS = 0.1

SEED = int(os.environ.get("CHAOS_SEED") or random.SystemRandom().randrange(10**6))
COMMAND = f"CHAOS_SEED={SEED} make chaos"
EARLY = date(2021, 11, 8)
PATCHES = Path(__file__).with_name("patches")
"""What a process can be made to do wrong, by its PYTHONPATH."""

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
    test: str
    injected: int
    steps: int
    lost: int
    """Phases and dates that the run took and did not do."""
    repeated: int
    """Attempts beyond the first of each step."""
    stuck: int
    """Steps that had not ended when the run should have."""
    finalized: int
    """How often."""
    equal: bool
    """Whether the warehouse equals the one built in one piece, row for row."""
    seconds: float


ROWS: list[Row] = []

MISSED: list[tuple[str, str]] = []
"""Tests that left no row, and what became of them."""

Hurt = Callable[[int], bool]
"""Does harm for the n-th time; whether it did."""


def break_warehouse(sandbox: Sandbox, *, seed: int, holes: int) -> None:
    """Random holes, and one so early that its cascade makes a run long enough to be hurt."""
    place = sandbox.settings.warehouse.removeprefix("local:")
    done = sandbox.planner("sandbox", "punch", place, "--seed", str(seed), "--holes", str(holes))
    assert done.code == 0, done.err
    sandbox.run_sql(
        "DELETE FROM nba_analytics.player_game_summary WHERE game_date = @day", day=EARLY
    )


def enqueue(sandbox: Sandbox, *, chunk_dates: int = 2) -> str:
    done = sandbox.planner("enqueue", "--gaps", "--json", "--chunk-dates", str(chunk_dates))
    assert done.code == 0, done.err
    run_id: str = done.json["run_id"]
    return run_id


def under_fire(
    sandbox: Sandbox, run_id: str, hurt: Hurt, *, times: int, pause: tuple[float, float]
) -> tuple[RunRecord, int]:
    """Hurt at most `times` times, at random moments, and wait for the run's end.

    A hurt that could do no harm now is tried again at the next look.
    """
    rng = random.Random(SEED)
    ledger = Context(sandbox.settings).ledger
    deadline = time.monotonic() + RUN_SECONDS
    next_hurt = time.monotonic() + rng.uniform(*pause)
    hurts = 0
    while True:
        record = ledger.run(run_id)
        assert record is not None, "the run is forgotten"
        if record.is_ended or time.monotonic() > deadline:
            return record, hurts
        if hurts < times and time.monotonic() >= next_hurt and hurt(hurts):
            hurts += 1
            next_hurt = time.monotonic() + rng.uniform(*pause)
        threading.Event().wait(LOOK_SECONDS)


def in_peace(sandbox: Sandbox, run_id: str) -> RunRecord:
    """Wait for the run's end."""
    return under_fire(sandbox, run_id, lambda n: False, times=0, pause=(0, 0))[0]


def judge(sandbox: Sandbox, fault: str, record: RunRecord, *, injected: int, began: float) -> Row:
    """Count what became of a run; the row is kept for the report."""
    ledger = Context(sandbox.settings).ledger
    states = ledger.steps(record.id)
    dates = ledger.all_dates(record.id)
    attempts = [step.attempt for step in ledger.step_records(record.id, states)]
    row = Row(
        fault=fault,
        test=os.environ["PYTEST_CURRENT_TEST"].partition("::")[2].partition(" ")[0],
        injected=injected,
        steps=len(states),
        lost=sum(state is not DateState.DONE for state in dates.values()),
        repeated=sum(max(0, attempt - 1) for attempt in attempts),
        stuck=sum(state not in STEP_ENDED for state in states.values()),
        finalized=record.endings,
        equal=sandbox.differences() == [],
        seconds=time.monotonic() - began,
    )
    ROWS.append(row)
    print(row)
    return row


def expect_whole(row: Row, *, finalized: int = 1) -> None:
    """Zero lost, zero stuck, finalized once, and equal."""
    assert (row.lost, row.stuck, row.finalized, row.equal) == (0, 0, finalized, True), row


def running_on(sandbox: Sandbox, worker: Child) -> set[str]:
    """The steps that a worker is at."""
    (run,) = [run for run in sandbox.ledger.runs() if not run.is_ended]
    steps = sandbox.ledger.step_records(run.id, sandbox.ledger.steps(run.id))
    return {
        step.id
        for step in steps
        if step.state is StepState.RUNNING
        and not step.parked
        and step.worker.partition("@")[0] == worker.name
    }


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
        "What happens to a run when its fleet is hurt: real workers, a real Redis, a real",
        "warehouse, random holes in every phase and their cascade. Hostile input, and many",
        "commands, workers and steps at once, are in [Stress](stress.md). Written by",
        "",
        "```console",
        f"$ {COMMAND}",
        "```",
        "",
        "What BigQuery does to a repair is on [a page of its own](reliability-bigquery.md).",
        "",
        "- *steps*: of the run that was hurt, or that took up the repair afterwards",
        "- *lost*: phases and dates that the run took and did not do",
        "- *repeated*: attempts beyond each step's first; their effect is the same as once",
        "- *stuck*: steps that never ended",
        "- *finalized*: how often the run was validated and reported; a retry does so once more",
        "- *three hosts*: network namespaces with names of their own, each on a cable of its own "
        "(root alone may make them;",
        "  elsewhere these two rows are said to be not shown); they share one disk",
        "- *equal*: every table equals, row for row, the one built without faults",
        "",
        "| fault | injected | steps | lost | repeated | stuck | finalized | equal | seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.fault} | {row.injected} | {row.steps} | {row.lost} | {row.repeated} | {row.stuck} "
        f"| {row.finalized} | {'yes' if row.equal else 'no'} | {row.seconds:.0f} |"
        for row in ROWS
    ]
    lines += [f"| {test} | {what}: not shown |" + " |" * 7 for test, what in MISSED]
    lines += ["", "One of them alone, in the order of the table:", "", "```console"]
    lines += [f"$ CHAOS_SEED={SEED} .venv/bin/pytest -s tests/chaos -k {row.test}" for row in ROWS]
    lines += ["```"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
