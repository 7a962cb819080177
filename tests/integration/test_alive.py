"""A real worker's sign of life: while it waits for Redis, while it works, and when it is frozen."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from planner.sandbox.workers import environment_of
from planner.settings import Settings
from tests.chaos.proxy import Proxy
from tests.waiting import until
from worker.processes import alive
from worker.processes.children import Child, supervised
from worker.processes.embedded_redis import find_redis_server
from worker.processes.workers import worker_process


@pytest.mark.slow
def test_a_worker_is_alive_with_and_without_redis_and_ill_when_it_is_frozen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sign = tmp_path / "alive"
    monkeypatch.setenv(alive.VARIABLE, str(sign))
    with Proxy.free_port() as port:
        pass
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]
        pipeline="sales",
        home=tmp_path / "home",
        broker_url=f"redis://127.0.0.1:{port}/0",
        grace_seconds=0,
    )
    environment = {**environment_of(settings), alive.VARIABLE: str(sign)}

    def beats() -> bool:
        return sign.exists() and alive.check([], ill=2 * alive.BEAT_SECONDS) == 0

    def again() -> None:
        """It gives the sign anew: what is read is not an old one."""
        sign.unlink(missing_ok=True)
        until(beats)

    # Given a worker whose Redis is not there, and then is
    child = worker_process(settings, 1, environment=environment)
    with supervised([child]):
        again()
        again()
        found = str(find_redis_server())
        command = [found, "--port", str(port), "--save", "", "--dir", str(tmp_path)]
        server = Child(name="redis", command=command, log=tmp_path / "redis.log", stop_seconds=5)
        with supervised([server]):
            log = tmp_path / "home" / "logs" / "worker-1.log"
            until(lambda: "ready." in log.read_text())
            again()
            again()

            # When it is frozen for long enough, then it is ended, and started again
            assert child.process is not None
            first = child.process.pid
            os.kill(first, signal.SIGSTOP)

            def ended() -> bool:
                alive.check(["--end"], ill=0.5, end=1)
                return child.process is not None and child.process.pid != first

            until(ended)

            # And one that is stopping, whose loop has ended, is given its time
            again()
            child.ask_to_stop()
            until(lambda: float(sign.read_text().split()[1]) > time.monotonic() + 5)
