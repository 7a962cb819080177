"""What a fleet asks of Redis while it has nothing to do."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.integration.tiny import Tiny
from tests.waiting import until
from worker.ledger.slots import slots_now
from worker.processes.children import supervised

WORKERS = 2
SECONDS = 10
MOST = 3.0  # commands a second of one worker


@pytest.mark.slow
def test_an_idle_worker_asks_redis_three_times_a_second_at_most(tmp_path: Path) -> None:
    # Given workers with the settings as shipped, which have done what they do when they start
    tiny = Tiny(tmp_path)
    shipped = {"lease_seconds": 60, "visibility_seconds": 60, "reconcile_seconds": 60}
    tiny.settings = tiny.settings.model_copy(update=shipped)
    workers = [tiny.worker_process(number) for number in range(1, WORKERS + 1)]
    with tiny.up(worker=False), supervised(workers):
        until(lambda: slots_now(tiny.client) == 2 * WORKERS)
        rates = [_commands_a_second(tiny) for _ in range(2)]

    assert rates[-1] <= MOST * WORKERS, rates


def _commands_a_second(tiny: Tiny) -> float:
    """By Redis's count, those within scripts included."""
    before, began = _commands(tiny), time.monotonic()
    until(lambda: time.monotonic() > began + SECONDS)  # the window in which they are counted
    return (_commands(tiny) - before - 1) / (time.monotonic() - began)


def _commands(tiny: Tiny) -> int:
    return int(tiny.client.info("stats")["total_commands_processed"])
