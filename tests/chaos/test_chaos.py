"""Faults injected into a real fleet: nothing lost, nothing stuck, and equal to a rebuild.

`make test` runs the first one; `make chaos` runs them all, prints the seed, and writes the
table of docs/reliability.md.
"""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from planner.sandbox.coordinator import Coordinator
from tests.chaos.harness import (
    QUICK,
    SEED,
    break_warehouse,
    client_of,
    enqueue,
    expect_whole,
    judge,
    kill_something,
    tree,
    under_fire,
)
from tests.chaos.proxy import Proxy
from tests.conftest import Sandbox
from worker.broker import find_redis_server
from worker.children import Child, Supervisor
from worker.crew import crew

MakeSandbox = Callable[..., Sandbox]
PHASES = ("analytics", "precompute", "predictions", "grading")


@pytest.fixture
def broken(make_sandbox: MakeSandbox) -> Sandbox:
    sandbox = make_sandbox(**QUICK)
    break_warehouse(sandbox, seed=SEED, holes=3)
    return sandbox


def test_workers_are_killed(broken: Sandbox) -> None:
    """The short one: some kills -9 of workers and pool processes, at random moments."""
    run_killed(broken, kills=8)


@pytest.mark.slow
def test_workers_are_killed_all_the_time(broken: Sandbox) -> None:
    run_killed(broken, kills=40, at_least=30, chunk_dates=1)


def run_killed(sandbox: Sandbox, *, kills: int, at_least: int = 1, chunk_dates: int = 2) -> None:
    began = time.monotonic()
    rng = random.Random(SEED)
    sandbox.start_fleet(workers=3)
    assert sandbox.fleet is not None
    workers = sandbox.fleet.workers
    run_id = enqueue(sandbox, chunk_dates=chunk_dates)
    record, hurts = under_fire(
        sandbox, run_id, lambda n: kill_something(rng, workers), times=kills, pause=(0.8, 2.0)
    )
    assert hurts >= at_least
    name = "kill -9 of workers and pool processes"
    expect_whole(judge(sandbox, name, record, injected=hurts, began=began))


@pytest.mark.slow
def test_a_worker_is_frozen_longer_than_its_lease(broken: Sandbox) -> None:
    began = time.monotonic()
    rng = random.Random(SEED)
    broken.start_fleet(workers=3)
    assert broken.fleet is not None
    workers = broken.fleet.workers
    frozen: list[psutil.Process] = []

    def freeze_or_thaw(n: int) -> bool:
        if frozen:
            for process in frozen:
                with contextlib.suppress(psutil.Error):
                    process.resume()
            frozen.clear()
            return False
        for process in tree(rng.choice(workers)):
            with contextlib.suppress(psutil.Error):
                process.suspend()
                frozen.append(process)
        return True

    run_id = enqueue(broken)
    record, hurts = under_fire(broken, run_id, freeze_or_thaw, times=5, pause=(5.0, 7.0))
    for process in frozen:
        with contextlib.suppress(psutil.Error):
            process.resume()
    name = "SIGSTOP for two to three leases, then SIGCONT"
    expect_whole(judge(broken, name, record, injected=hurts, began=began))


@pytest.mark.slow
def test_redis_is_killed_and_comes_back(broken: Sandbox) -> None:
    began = time.monotonic()
    broken.start_fleet(workers=3)
    assert broken.fleet is not None
    broker = broken.fleet.broker
    assert broker is not None

    def kill(n: int) -> bool:
        if not broker.is_alive or broker.process is None:
            return False
        broker.process.kill()
        return True

    run_id = enqueue(broken)
    record, hurts = under_fire(broken, run_id, kill, times=5, pause=(6.0, 9.0))
    name = "kill -9 of Redis, restarted on its append-only file"
    expect_whole(judge(broken, name, record, injected=hurts, began=began))


@pytest.mark.slow
def test_everything_is_killed_and_redis_is_emptied_in_a_cascade(broken: Sandbox) -> None:
    # Given a run whose analytics are filled, and whose cascade has only begun
    began = time.monotonic()
    broken.start_fleet(workers=2)
    assert broken.fleet is not None
    lost = enqueue(broken)

    def is_begun() -> bool:
        steps = broken.planner("status", lost, "--json").json["steps"]
        return bool(steps["succeeded"] >= 6)

    while not is_begun():
        assert time.monotonic() < began + 120

    # When every worker is killed, and Redis forgets everything
    for worker in broken.fleet.workers:
        for process in tree(worker):
            with contextlib.suppress(psutil.Error):
                process.kill()
    client_of(broken).flushall()

    # Then one `enqueue --gaps` completes the repair, the cascade included
    run_id = enqueue(broken)
    record, _ = under_fire(broken, run_id, lambda n: False, times=0, pause=(1, 1))
    name = "everything killed and Redis emptied, then one `enqueue --gaps`"
    expect_whole(judge(broken, name, record, injected=1, began=began))
    assert broken.planner("gaps").code == 0


@pytest.mark.slow
def test_every_message_is_delivered_twice(broken: Sandbox) -> None:
    began = time.monotonic()
    broken.start_fleet(workers=3)
    client = client_of(broken)
    seen: set[str] = set()

    def duplicate(n: int) -> bool:
        for value in client.hvals("unacked"):
            message = json.loads(value)[0]
            task = message["headers"]["id"]
            queue = message["properties"]["delivery_info"]["routing_key"]
            if task in seen:
                continue
            seen.add(task)
            message["properties"]["delivery_tag"] = str(uuid.uuid4())
            client.lpush(queue, json.dumps(message))
        return False

    run_id = enqueue(broken)
    record, _ = under_fire(broken, run_id, duplicate, times=10**6, pause=(0.05, 0.05))
    assert len(seen) >= record.steps_total / 2
    name = "messages delivered twice"
    expect_whole(judge(broken, name, record, injected=len(seen), began=began))


@pytest.mark.slow
def test_the_finalizer_message_is_dropped(broken: Sandbox) -> None:
    # Given a run whose steps have all ended, and workers that do not finalize
    began = time.monotonic()
    broken.start_fleet(workers=0)
    assert broken.fleet is not None
    environment = broken.fleet.environment
    client = client_of(broken)
    run_id = enqueue(broken)
    with crew(broken.settings, workers=2, environment=environment, queues=",".join(PHASES)):
        while not client.llen("final"):
            assert time.monotonic() < began + 240
        # When the message is gone
        client.delete("final")

    # Then the reconciler of the next worker sends another
    with crew(broken.settings, workers=1, environment=environment):
        record, _ = under_fire(broken, run_id, lambda n: False, times=0, pause=(1, 1))
    name = "finalizer message dropped"
    expect_whole(judge(broken, name, record, injected=1, began=began))


@pytest.mark.slow
def test_the_network_between_one_worker_and_redis_is_cut(
    make_sandbox: MakeSandbox, tmp_path: Path
) -> None:
    # Given Redis on TCP, and a worker that reaches it through a proxy
    began = time.monotonic()
    with Proxy.free_port() as port:
        pass
    log = tmp_path / "redis.log"
    command = [str(find_redis_server()), "--port", str(port), "--bind", "127.0.0.1"]
    command += ["--dir", str(tmp_path), "--save", "", "--appendonly", "yes"]
    server = Child(name="redis", command=command, log=log, stop_seconds=5)
    url = f"redis://127.0.0.1:{port}/0"
    sandbox = make_sandbox(**QUICK, broker_url=url)
    break_warehouse(sandbox, seed=SEED, holes=6)
    with Supervisor([server]), Proxy(port) as proxy:
        sandbox.start_fleet(workers=1)
        assert sandbox.fleet is not None
        through = {**sandbox.fleet.environment, "BACKFILL_BROKER_URL": proxy.url}
        with crew(sandbox.settings, workers=2, environment=through) as others:
            assert len(others) == 2
            run_id = enqueue(sandbox)

            def cut_or_mend(n: int) -> bool:
                if proxy.is_cut:
                    proxy.mend()
                    return False
                proxy.cut()
                return True

            record, hurts = under_fire(sandbox, run_id, cut_or_mend, times=3, pause=(6.0, 8.0))
            proxy.mend()
        name = "network to Redis cut for two of three workers, 6 to 8 s"
        expect_whole(judge(sandbox, name, record, injected=hurts, began=began))


@pytest.mark.slow
def test_the_disk_is_full(make_sandbox: MakeSandbox, tmp_path: Path) -> None:
    # Given a warehouse and logs on a small disk that fills up
    began = time.monotonic()
    mounted = tmp_path / "warehouse"
    mounted.mkdir()
    size = "64m"
    options = ["-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(mounted)]
    if subprocess.run(["mount", *options], check=False, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs to be root")
    try:
        sandbox = make_sandbox(**QUICK)
        break_warehouse(sandbox, seed=SEED, holes=4)
        sandbox.start_fleet(workers=2)
        run_id = enqueue(sandbox)
        ballast = mounted / "ballast"
        with ballast.open("wb") as file, contextlib.suppress(OSError):
            while True:
                file.write(b"\0" * 65536)
                file.flush()

        # When the run meets it, it fails and says why
        record, _ = under_fire(sandbox, run_id, lambda n: False, times=0, pause=(1, 1))
        assert record.state == "failed"
        failures = sandbox.planner("status", run_id, "--json").json["failures"]
        assert failures

        # Then, with room again, a retry completes it
        ballast.unlink()
        retried = sandbox.planner("retry", run_id, "--wait")
        assert retried.code == 0, retried.err
        record, _ = under_fire(sandbox, run_id, lambda n: False, times=0, pause=(1, 1))
        row = judge(sandbox, "disk full, then `planner retry`", record, injected=1, began=began)
        assert (row.lost, row.stuck, row.equal) == (0, 0, True), row
    finally:
        sandbox.stack.close()
        subprocess.run(["umount", "-l", str(mounted)], check=True)


@pytest.mark.slow
def test_the_service_is_down_for_a_minute(make_sandbox: MakeSandbox) -> None:
    began = time.monotonic()
    sandbox = make_sandbox(**QUICK)
    sandbox.edit_pipeline(("retries = 1\nretry_seconds = 0.2", "retries = 6\nretry_seconds = 2"))
    break_warehouse(sandbox, seed=SEED, holes=6)
    sandbox.start_fleet(workers=3)
    assert sandbox.fleet is not None
    coordinator = sandbox.fleet.coordinator
    port = int(sandbox.fleet.environment["COORDINATOR_URL"].rpartition(":")[2])
    token = sandbox.fleet.environment["COORDINATOR_TOKEN"]
    run_id = enqueue(sandbox)
    coordinator.stop()
    again = Coordinator(sandbox.settings.warehouse, token, port=port)

    def bring_back(n: int) -> bool:
        again.start()
        return True

    try:
        record, hurts = under_fire(sandbox, run_id, bring_back, times=1, pause=(60.0, 60.0))
        name = "service down for a minute"
        expect_whole(judge(sandbox, name, record, injected=hurts, began=began))
    finally:
        again.stop()


@pytest.mark.slow
def test_the_clock_of_one_worker_is_off_by_an_hour(broken: Sandbox, tmp_path: Path) -> None:
    began = time.monotonic()
    broken.start_fleet(workers=1)
    assert broken.fleet is not None
    (tmp_path / "clock").mkdir()
    (tmp_path / "clock" / "sitecustomize.py").write_text(
        "import time\n_true = time.time\ntime.time = lambda: _true() + 3600\n"
    )
    ahead = {**broken.fleet.environment, "PYTHONPATH": str(tmp_path / "clock")}
    with crew(broken.settings, workers=2, environment=ahead):
        run_id = enqueue(broken)
        record, _ = under_fire(broken, run_id, lambda n: False, times=0, pause=(1, 1))
    name = "clock of two of three workers an hour ahead"
    expect_whole(judge(broken, name, record, injected=1, began=began))
