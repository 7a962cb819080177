"""What an idle worker asks of Redis, and what it costs."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from tests.integration.tiny import Tiny
from tests.waiting import until
from worker.ledger.slots import slots_now

SECONDS = 20.0


def idle_worker() -> tuple[float, float]:
    """Redis commands a second, and seconds of CPU per second, of a worker with nothing to do.

    Commands inside scripts count too, as Redis counts them.
    """
    with TemporaryDirectory() as place:
        tiny = Tiny(Path(place))
        shipped = {"lease_seconds": 60, "visibility_seconds": 60, "reconcile_seconds": 60}
        tiny.settings = tiny.settings.model_copy(update=shipped)
        tiny.worker = tiny.worker_process(1)
        with tiny.up():
            until(lambda: slots_now(tiny.client))
            assert tiny.worker.process is not None
            main = psutil.Process(tiny.worker.process.pid)
            processes = [main, *main.children(recursive=True)]
            time.sleep(3)  # what it does when it starts
            before, commands = _cpu(processes), _commands(tiny)
            begun = time.monotonic()
            time.sleep(SECONDS)
            took = time.monotonic() - begun
            return (
                (_commands(tiny) - commands - 1) / took,
                (_cpu(processes) - before) / took,
            )


def _commands(tiny: Tiny) -> int:
    return int(tiny.client.info("stats")["total_commands_processed"])


def _cpu(processes: list[psutil.Process]) -> float:
    return sum(sum(each.cpu_times()[:2]) for each in processes)


if __name__ == "__main__":
    print(idle_worker())
