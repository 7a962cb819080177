"""Two workers never work on one phase and date at once, by every moment at which they did."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import psutil
import pytest

from tests.chaos.proxy import Proxy
from tests.integration.tiny import Tiny
from tests.waiting import until
from worker.processes.children import Child

SECOND = 10**9  # nanoseconds


@pytest.fixture(scope="module")
def proxy(tiny: Tiny) -> Iterator[Proxy]:
    with Proxy(tiny.port) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def far(tiny: Tiny, proxy: Proxy) -> Iterator[Child]:
    """A second worker, which reaches Redis through a proxy."""
    worker = tiny.worker_process(2, broker_url=proxy.url)
    worker.start()
    until(lambda: "ready" in worker.log.read_text())
    yield worker
    worker.stop()


def tree(worker: Child) -> list[psutil.Process]:
    assert worker.process is not None
    main = psutil.Process(worker.process.pid)
    return [main, *main.children(recursive=True)]


@contextlib.contextmanager
def frozen(worker: Child) -> Iterator[None]:
    """Stop a worker and its scripts while the block runs."""
    processes = tree(worker)
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):  # scripts start others, which end
            process.suspend()
    try:
        yield
    finally:
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()


@pytest.mark.slow
def test_a_worker_that_is_cut_off_stops_before_another_begins(
    tiny: Tiny, proxy: Proxy, far: Child
) -> None:
    # Given a step that the far worker runs
    (day,) = tiny.days(1)
    tiny.hold(day)
    with frozen(tiny.worker):
        run_id = tiny.enqueue([day])
        assert tiny.holder(day) in tree(far)

    # When it is cut off for as long as it takes the other to run the step
    proxy.cut()
    until(lambda: len(tiny.scripts(day)) == 2)
    tiny.let_go(day)
    record = tiny.ended(run_id)
    proxy.mend()

    # Then the first had stopped when the second began, and only the second's end was written down
    first, second = tiny.scripts(day)
    stopped = max(moment for pid, moment in tiny.ticks(day) if pid == first)
    began = min(moment for pid, moment in tiny.ticks(day) if pid == second)
    assert stopped < began
    assert (str(record.state), record.endings) == ("complete", 1)
    assert tiny.ledger.step(run_id, f"{day}/a").worker.startswith("worker-1@")


@pytest.mark.slow
def test_a_frozen_worker_that_wakes_up_stops_and_records_nothing(tiny: Tiny, far: Child) -> None:
    # Given a step that the far worker runs, frozen with its script
    (day,) = tiny.days(1)
    tiny.hold(day)
    with frozen(tiny.worker):
        run_id = tiny.enqueue([day])
        assert tiny.holder(day) in tree(far)
    with frozen(far):
        # When another takes the step over
        until(lambda: len(tiny.scripts(day)) == 2)
        before = len(tiny.ticks(day))
        until(lambda: len(tiny.ticks(day)) > before + 10)

    # Then the first, awake again, ends its script at once, while the second works on
    first, second = tiny.scripts(day)
    awake = tiny.ticks(day)[-1][1]
    until(lambda: tiny.ticks(day)[-1][1] > awake + 2 * SECOND)
    late = [moment for pid, moment in tiny.ticks(day) if pid == first and moment > awake]
    assert not late or max(late) - awake < SECOND
    step = tiny.ledger.step(run_id, f"{day}/a")
    assert (str(step.state), step.worker.partition("@")[0]) == ("running", "worker-1")

    # And the end is the second's
    tiny.let_go(day)
    record = tiny.ended(run_id)
    assert (str(record.state), record.endings) == ("complete", 1)
    assert tiny.ledger.step(run_id, f"{day}/a").worker.startswith("worker-1@")
    assert tiny.scripts(day) == [first, second]
