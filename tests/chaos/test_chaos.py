"""Faults injected into a real fleet: nothing lost, nothing stuck, and equal to a rebuild.

`make chaos` runs them, prints the seed and the command, and writes the table of
docs/reliability.md. `make test` has each fault at its mechanism, in tests/integration.
"""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psutil
import pytest
import redis

from planner.plan.plan import chunk_of
from planner.plan.states import RunState
from planner.sandbox.coordinator import Coordinator
from tests.chaos.harness import (
    PATCHES,
    QUICK,
    SEED,
    break_warehouse,
    client_of,
    enqueue,
    expect_whole,
    in_peace,
    judge,
    kill_something,
    running_on,
    tree,
    under_fire,
)
from tests.chaos.hosts import Network, network
from tests.chaos.proxy import Proxy
from tests.conftest import Sandbox
from tests.waiting import until
from worker.app import queue_names
from worker.ledger.record import StepRecord
from worker.messages.lanes import lists_of
from worker.messages.later import waiting
from worker.messages.mailbox import steps_with_messages
from worker.processes.children import Child, supervised
from worker.processes.embedded_redis import find_redis_server
from worker.processes.workers import run_workers, worker_process

MakeSandbox = Callable[..., Sandbox]
PHASES = ("analytics", "precompute", "predictions", "grading")
CUT_SECONDS = (9.0, 12.0)  # until its messages come back, and then its leases
SILENCE_SECONDS = (2.5 * QUICK["lease_seconds"], 3.5 * QUICK["lease_seconds"])


@pytest.fixture
def broken(make_sandbox: MakeSandbox) -> Sandbox:
    sandbox = make_sandbox(**QUICK)
    break_warehouse(sandbox, seed=SEED, holes=3)
    return sandbox


@pytest.mark.slow
def test_workers_are_killed_all_the_time(broken: Sandbox) -> None:
    run_killed(broken, kills=40, at_least=30, chunk_dates=1)


def run_killed(sandbox: Sandbox, *, kills: int, at_least: int = 1, chunk_dates: int = 2) -> None:
    began = time.monotonic()
    rng = random.Random(SEED)
    sandbox.start_fleet(workers=3)
    assert sandbox.running is not None
    workers = sandbox.running.workers
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
    assert broken.running is not None
    workers = broken.running.workers

    def freeze(n: int) -> bool:
        worker = next((each for each in workers if running_on(broken, each)), None)
        if worker is None:
            return False
        with frozen(tree(worker)):
            threading.Event().wait(rng.uniform(*SILENCE_SECONDS))
        return True

    run_id = enqueue(broken, chunk_dates=1)
    record, hurts = under_fire(broken, run_id, freeze, times=6, pause=(0.5, 2.0))
    assert hurts >= 3
    name = "SIGSTOP of a worker that runs a step, for two to four leases, then SIGCONT"
    expect_whole(judge(broken, name, record, injected=hurts, began=began))


@contextlib.contextmanager
def frozen(processes: list[psutil.Process]) -> Iterator[None]:
    """Stop processes while the block runs."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with contextlib.suppress(psutil.Error):
                process.resume()


@pytest.mark.slow
def test_redis_is_killed_and_comes_back(broken: Sandbox) -> None:
    began = time.monotonic()
    broken.start_fleet(workers=3)
    assert broken.running is not None
    broker = broken.running.broker
    assert broker is not None

    def kill(n: int) -> bool:
        if not broker.is_alive or broker.process is None:
            return False
        broker.process.kill()
        return True

    run_id = enqueue(broken)
    record, hurts = under_fire(broken, run_id, kill, times=5, pause=(4.0, 7.0))
    assert hurts >= 3
    name = "kill -9 of Redis, restarted on its append-only file"
    expect_whole(judge(broken, name, record, injected=hurts, began=began))


@pytest.mark.slow
def test_redis_is_emptied(broken: Sandbox) -> None:
    # Given a run whose steps are at work
    began = time.monotonic()
    broken.start_fleet(workers=3)
    lost = enqueue(broken)
    until(lambda: broken.steps(lost)["succeeded"] >= 3 and broken.steps(lost)["running"])

    # When Redis forgets everything, workers go on, and the gaps are enqueued once more
    client_of(broken).flushall()
    run_id = enqueue(broken)
    record = in_peace(broken, run_id)

    # Then that run completes the repair
    name = "Redis emptied under running workers, then one `enqueue --gaps`"
    expect_whole(judge(broken, name, record, injected=1, began=began))
    assert broken.planner("gaps").code == 0


@pytest.mark.slow
def test_everything_is_killed_and_redis_is_emptied_in_a_cascade(broken: Sandbox) -> None:
    # Given a run whose analytics are filled, and whose cascade has only begun
    began = time.monotonic()
    broken.start_fleet(workers=2)
    assert broken.running is not None
    lost = enqueue(broken)
    until(lambda: broken.steps(lost)["succeeded"] >= 6)
    assert broken.steps(lost)["pending"] > 0

    # When every worker is killed, and Redis forgets everything
    for worker in broken.running.workers:
        for process in tree(worker):
            with contextlib.suppress(psutil.Error):
                process.kill()
    client_of(broken).flushall()

    # Then one `enqueue --gaps` completes the repair, the cascade included
    run_id = enqueue(broken)
    record = in_peace(broken, run_id)
    name = "everything killed and Redis emptied in a cascade, then one `enqueue --gaps`"
    expect_whole(judge(broken, name, record, injected=1, began=began))
    assert broken.planner("gaps").code == 0


@pytest.mark.slow
def test_every_message_is_delivered_twice(broken: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    began = time.monotonic()
    monkeypatch.setenv("PYTHONPATH", str(PATCHES / "twice"))
    broken.start_fleet(workers=3)
    run_id = enqueue(broken)
    record = in_peace(broken, run_id)

    # Every step's message, and the finalizer's
    doubled = {each.decode() for each in client_of(broken).hvals("chaos:twice")}
    assert doubled >= {*broken.ledger.steps(run_id), f"finalize {run_id}"}
    name = "every message delivered twice"
    injected = client_of(broken).hlen("chaos:twice")
    row = judge(broken, name, record, injected=injected, began=began)
    expect_whole(row)
    assert row.repeated == 0


@pytest.mark.slow
def test_the_finalizer_message_is_dropped(broken: Sandbox) -> None:
    # Given a run whose steps have all ended, and workers that do not finalize
    began = time.monotonic()
    broken.start_fleet(workers=0)
    assert broken.running is not None
    environment = broken.running.environment
    client = client_of(broken)
    run_id = enqueue(broken)
    with run_workers(broken.settings, workers=2, environment=environment, queues=",".join(PHASES)):
        until(lambda: client.llen("final"), seconds=150)
        # When the message is gone
        client.delete("final")

    # Then the reconciler of the next worker sends another
    with run_workers(broken.settings, workers=1, environment=environment):
        record = in_peace(broken, run_id)
    name = "finalizer message dropped"
    expect_whole(judge(broken, name, record, injected=1, began=began))


@pytest.mark.slow
def test_every_message_of_a_run_is_dropped(broken: Sandbox) -> None:
    # Given a paused run whose messages are all gone
    began = time.monotonic()
    broken.start_fleet(workers=2)
    run_id = enqueue(broken)
    until(lambda: broken.steps(run_id)["succeeded"] >= 1)
    assert broken.planner("pause", run_id).code == 0
    until(lambda: broken.steps(run_id)["running"] == 0)
    delayed = [waiting(queue) for queue in (*PHASES, "final")]  # a paused run's steps wait there
    client_of(broken).delete(*PHASES, "final", *delayed, "unacked", "unacked_index")

    # When it is resumed
    assert broken.planner("resume", run_id).code == 0

    # Then it completes all the same
    record = in_peace(broken, run_id)
    name = "every message of a run dropped"
    expect_whole(judge(broken, name, record, injected=1, began=began))


@pytest.mark.slow
def test_the_network_between_one_worker_and_redis_is_cut(
    make_sandbox: MakeSandbox, tmp_path: Path
) -> None:
    # Given Redis on TCP, and one of three workers that reaches it through a proxy
    began = time.monotonic()
    rng = random.Random(SEED)
    with Proxy.free_port() as port:
        pass
    log = tmp_path / "redis.log"
    command = [str(find_redis_server()), "--port", str(port), "--bind", "127.0.0.1"]
    command += ["--dir", str(tmp_path), "--save", "", "--appendonly", "yes"]
    server = Child(name="redis", command=command, log=log, stop_seconds=5)
    url = f"redis://127.0.0.1:{port}/0"
    sandbox = make_sandbox(**QUICK, broker_url=url)
    break_warehouse(sandbox, seed=SEED, holes=4)
    with supervised([server]), Proxy(port) as proxy:
        sandbox.start_fleet(workers=2)
        assert sandbox.running is not None
        through = {**sandbox.running.environment, "BACKFILL_BROKER_URL": proxy.url}
        with run_workers(sandbox.settings, workers=1, first=3, environment=through) as (far,):

            def cut(n: int) -> bool:
                if not running_on(sandbox, far):
                    return False
                proxy.cut()
                threading.Event().wait(rng.uniform(*CUT_SECONDS))
                proxy.mend()
                return True

            run_id = enqueue(sandbox, chunk_dates=1)
            record, hurts = under_fire(sandbox, run_id, cut, times=3, pause=(0.5, 2.0))
        assert hurts >= 2
        name = "network between Redis and a worker that runs a step cut, for 9 to 12 s"
        expect_whole(judge(sandbox, name, record, injected=hurts, began=began))


@pytest.mark.slow
def test_the_disk_is_full(make_sandbox: MakeSandbox, tmp_path: Path) -> None:
    # Given a warehouse and logs on small disks that fill up
    began = time.monotonic()
    disks = {tmp_path / "warehouse": "64m", tmp_path / "home" / "logs": "4m"}
    with contextlib.ExitStack() as mounts:
        for place, size in disks.items():
            mounts.enter_context(small_disk(place, size))
        sandbox = make_sandbox(**QUICK)
        mounts.callback(sandbox.stack.close)  # the fleet first, then its disks
        break_warehouse(sandbox, seed=SEED, holes=4)
        sandbox.start_fleet(workers=2)
        run_id = enqueue(sandbox)
        for place in disks:
            fill(place)

        # When the run meets it, it fails and says why
        assert in_peace(sandbox, run_id).state is RunState.FAILED
        failures = sandbox.planner("status", run_id, "--json").json["failures"]
        assert any("No space left" in failure["reason"] for failure in failures), failures

        # Then, with room again, a retry completes it
        for place in disks:
            (place / "ballast").unlink()
        retried = sandbox.planner("retry", run_id, "--wait")
        assert retried.code == 0, retried.err
        name = "disk full for logs and warehouse, then `planner retry`"
        row = judge(sandbox, name, in_peace(sandbox, run_id), injected=1, began=began)
        expect_whole(row, finalized=2)


@contextlib.contextmanager
def small_disk(place: Path, size: str) -> Iterator[None]:
    """A disk of its own in a folder while the block runs. Needs to be root, as in a container."""
    place.mkdir(parents=True)
    options = ["-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    if subprocess.run(["mount", *options], check=False, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs to be root")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(place: Path) -> None:
    with (place / "ballast").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"\0" * 4096)


@pytest.mark.slow
def test_the_service_is_down_for_a_minute(make_sandbox: MakeSandbox) -> None:
    began = time.monotonic()
    sandbox = make_sandbox(**QUICK)
    sandbox.edit_pipeline(("retries = 1\nretry_seconds = 0.2", "retries = 6\nretry_seconds = 2"))
    break_warehouse(sandbox, seed=SEED, holes=6)
    sandbox.start_fleet(workers=3)
    assert sandbox.running is not None
    coordinator = sandbox.running.coordinator
    port = int(sandbox.running.environment["COORDINATOR_URL"].rpartition(":")[2])
    token = sandbox.running.environment["COORDINATOR_TOKEN"]
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
def test_clocks_are_off_by_an_hour(broken: Sandbox) -> None:
    # Given a worker whose clock is an hour ahead, one an hour behind, and one that is right
    began = time.monotonic()
    broken.start_fleet(workers=1)
    assert broken.running is not None
    workers = [
        worker_process(
            broken.settings,
            number,
            environment={
                **broken.running.environment,
                "PYTHONPATH": str(PATCHES / "clock"),
                "CHAOS_CLOCK": str(seconds),
            },
        )
        for number, seconds in ((2, 3600), (3, -3600))
    ]

    # When each of the two is killed while it runs a step, for good
    def kill(n: int) -> bool:
        if not running_on(broken, workers[n]):
            return False
        for process in tree(workers[n]):
            with contextlib.suppress(psutil.Error):
                process.kill()
        return True

    for worker in workers:
        worker.start()
    try:
        run_id = enqueue(broken, chunk_dates=1)
        record, hurts = under_fire(broken, run_id, kill, times=2, pause=(2.0, 4.0))
    finally:
        for worker in workers:
            worker.stop()

    # Then nothing that they held, or put off, waits for an hour
    assert hurts == 2
    name = "clocks of two workers an hour ahead and behind, each killed -9 in a step"
    expect_whole(judge(broken, name, record, injected=2, began=began))


def are_sent(sandbox: Sandbox, run_id: str, chunks: int) -> bool:
    """Whether so many chunks of a run have a message."""
    lists = lists_of(queue_names(sandbox.pipeline))
    there = steps_with_messages(sandbox.ledger.client, lists)
    return len({chunk_of(step) for step in there.get(run_id, ())}) >= chunks


@pytest.mark.slow
def test_the_planner_is_killed_while_it_publishes(broken: Sandbox) -> None:
    began = time.monotonic()
    rng = random.Random(SEED)
    broken.start_fleet(workers=2)
    assert broken.running is not None
    slow = {**broken.running.environment, "PYTHONPATH": str(PATCHES / "slow")}
    command = [sys.executable, "-m", "planner", "enqueue", "--gaps", "--json", "--chunk-dates", "1"]
    kills = 3
    for n in range(kills):
        # Given a planner that publishes a run
        planner = subprocess.Popen(
            command, cwd=broken.place, env=slow, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        until(lambda: any(not run.is_ended for run in broken.ledger.runs()))
        (begun,) = [run for run in broken.ledger.runs() if not run.is_ended]

        # When it is killed on the way, some chunks sent and some not
        plan = broken.ledger.plan(begun.id)
        assert plan is not None
        until(partial(are_sent, broken, begun.id, rng.randrange(len(plan.chunks) // 2)))
        planner.kill()
        planner.communicate()

        # Then the run is there as incomplete, and nothing of it has begun
        (run,) = [run for run in broken.ledger.runs() if not run.is_ended]
        assert broken.planner("status", run.id, "--json").json["state"] == "incomplete"
        assert set(broken.steps(run.id)) == {"pending"}
        # and another planner leaves its dates to it
        again = broken.planner("enqueue", "--gaps", "--json").json
        assert again["run_id"] is None
        assert {skipped["run_id"] for skipped in again["skipped"]} >= {run.id}
        if n < kills - 1:
            assert broken.planner("cancel", run.id).code == 0
            assert in_peace(broken, run.id).state is RunState.CANCELLED

    # When it is resumed, it repairs everything
    assert broken.planner("resume", run.id).code == 0
    record = in_peace(broken, run.id)
    name = "kill -9 of the planner while it publishes, then `planner resume`"
    expect_whole(judge(broken, name, record, injected=kills, began=began))


@pytest.mark.slow
def test_the_fleet_is_restarted_one_after_the_other(make_sandbox: MakeSandbox) -> None:
    # Given workers whose steps take longer than the grace that they get
    began = time.monotonic()
    broken = make_sandbox(**{**QUICK, "grace_seconds": 0.3})
    break_warehouse(broken, seed=SEED, holes=3)
    broken.start_fleet(workers=3)
    assert broken.running is not None
    workers = broken.running.workers
    interrupted: list[str] = []

    def restart(n: int) -> bool:
        worker = workers[n % len(workers)]
        running = running_on(broken, worker)
        if not running or worker.process is None:
            return False
        restarts = worker.restarts
        worker.process.send_signal(signal.SIGTERM)
        while worker.restarts == restarts:
            running |= running_on(broken, worker) if worker.is_alive else set()
            threading.Event().wait(0.02)
        interrupted.extend(running)
        return True

    # When every worker is restarted by SIGTERM, twice over, while it runs a step
    run_id = enqueue(broken, chunk_dates=1)
    record, hurts = under_fire(broken, run_id, restart, times=6, pause=(0.5, 1.0))
    assert hurts >= 3

    # Then at most the steps that were running are run again
    name = "rolling restart of the fleet by SIGTERM"
    row = judge(broken, name, record, injected=hurts, began=began)
    expect_whole(row)
    assert row.repeated <= len(interrupted), interrupted


# -- three hosts -----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Hosts:
    """A sandbox whose workers are on three hosts, with Redis on a fourth: this one."""

    sandbox: Sandbox
    network: Network
    workers: list[Child]


@pytest.fixture
def hosts(make_sandbox: MakeSandbox, tmp_path: Path) -> Iterator[Hosts]:
    with contextlib.ExitStack() as stack:
        three = stack.enter_context(network(3))
        with Proxy.free_port() as port:
            pass
        command = [str(find_redis_server()), "--port", str(port), "--bind", three.address]
        command += ["--protected-mode", "no", "--dir", str(tmp_path)]
        command += ["--save", "", "--appendonly", "yes"]
        server = Child(name="redis", command=command, log=tmp_path / "redis.log", stop_seconds=5)
        stack.enter_context(supervised([server]))
        sandbox = make_sandbox(**QUICK, broker_url=f"redis://{three.address}:{port}/0")
        break_warehouse(sandbox, seed=SEED, holes=4)
        sandbox.start_fleet(workers=0)
        assert sandbox.running is not None
        service = int(sandbox.running.environment["COORDINATOR_URL"].rpartition(":")[2])
        proxy = stack.enter_context(Proxy(service, host=three.address))
        environment = {**sandbox.running.environment, "COORDINATOR_URL": f"http://{proxy.address}"}
        workers = [
            worker_process(sandbox.settings, number, environment=environment)
            for number in range(1, len(three.hosts) + 1)
        ]
        for worker, host in zip(workers, three.hosts, strict=True):
            worker.command = host.command(worker.command)
        stack.enter_context(supervised(workers))
        yield Hosts(sandbox=sandbox, network=three, workers=workers)


@pytest.mark.slow
def test_one_of_three_hosts_is_cut_off_and_comes_back(hosts: Hosts) -> None:
    began, rng, sandbox = time.monotonic(), random.Random(SEED), hosts.sandbox

    def cut(n: int) -> bool:
        number = next((i for i, w in enumerate(hosts.workers) if running_on(sandbox, w)), None)
        if number is None:
            return False
        hosts.network.hosts[number].cut()
        threading.Event().wait(rng.uniform(*CUT_SECONDS))
        hosts.network.hosts[number].mend()
        return True

    run_id = enqueue(sandbox, chunk_dates=1)
    record, hurts = under_fire(sandbox, run_id, cut, times=2, pause=(2.0, 4.0))
    assert hurts >= 1
    name = "three hosts, the network of one that runs a step cut for 9 to 12 s, and back"
    expect_whole(judge(sandbox, name, record, injected=hurts, began=began))
    assert len({_host_of(step) for step in sandbox.ledger.step_records(run_id)}) == 3


def _host_of(step: StepRecord) -> str:
    return step.worker.partition("@")[2]


@pytest.mark.slow
def test_redis_fails_over_to_a_replica_and_back_under_three_hosts(hosts: Hosts) -> None:
    began, rng, sandbox = time.monotonic(), random.Random(SEED), hosts.sandbox
    client = client_of(sandbox)

    def fail_over(n: int) -> bool:
        if not any(running_on(sandbox, worker) for worker in hosts.workers):
            return False
        with Proxy.free_port() as nowhere:
            pass
        client.replicaof("127.0.0.1", nowhere)  # a replica of none: it holds all, and is read-only
        with pytest.raises(redis.ReadOnlyError):
            client.set("chaos:written", "1")
        threading.Event().wait(rng.uniform(*SILENCE_SECONDS))
        client.replicaof("NO", "ONE")
        return True

    run_id = enqueue(sandbox, chunk_dates=1)
    record, hurts = under_fire(sandbox, run_id, fail_over, times=2, pause=(2.0, 4.0))
    assert hurts >= 1
    name = "three hosts, Redis READONLY for two to four leases, as in a failover, and back"
    expect_whole(judge(sandbox, name, record, injected=hurts, began=began))
