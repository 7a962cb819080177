"""An orchestrator that runs thirty dates of four steps: its services, its command, its end."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.bench.whole import STEPS, Whole
from tests.waiting import until

START_SECONDS, END_SECONDS = 600.0, 1800.0  # far more than it takes: a machine may be busy
STOP_SECONDS = 20.0


@dataclass(frozen=True, kw_only=True)
class Orchestrator:
    """What it takes to run one, and to ask its database how far it is."""

    environment: Mapping[str, str]
    services: Sequence[Sequence[str]]
    """What has to be there: commands."""
    command: Sequence[str]
    """What begins the work."""
    database: Path
    ready: str
    """A query whose first value is not 0 once the services know what is to be done."""
    ended: str
    """One whose first value is not 0 once all is done."""
    failed: str
    """One whose first value is not 0 once something failed."""
    port: int | None = None
    """On which a service has to listen, too."""

    def measure(self, log: Path) -> Whole:
        """Run all; clock and CPU from the command to the end, a step."""
        environment = {**os.environ, **self.environment}
        with _services(self.services, environment, log) as services:
            until(lambda: self._listens() and self._asked(self.ready), seconds=START_SECONDS)
            before, began = _cpu(services), time.monotonic()
            own = _run(self.command, environment, log)
            until(self._is_ended, seconds=END_SECONDS)
            wall, spent = time.monotonic() - began, _cpu(services) - before + own
        return Whole(wall=wall / STEPS * 1e3, cpu=spent / STEPS * 1e3)

    def _listens(self) -> bool:
        if self.port is None:
            return True
        try:
            socket.create_connection(("127.0.0.1", self.port)).close()
        except OSError:
            return False
        return True

    def _is_ended(self) -> bool:
        assert not self._asked(self.failed), f"something failed: {self.failed}"
        return self._asked(self.ended)

    def _asked(self, query: str) -> bool:
        if not self.database.exists():
            return False
        place = f"file:{self.database}?mode=ro"
        with contextlib.closing(sqlite3.connect(place, uri=True)) as connection:
            try:
                return bool(connection.execute(query).fetchone()[0])
            except sqlite3.OperationalError:  # no such table yet, or it is written to
                return False


@contextmanager
def _services(
    commands: Sequence[Sequence[str]], environment: Mapping[str, str], log: Path
) -> Iterator[list[psutil.Process]]:
    with contextlib.ExitStack() as stack, log.open("ab") as out:
        yield [
            stack.enter_context(_service(command, environment, out.fileno()))
            for command in commands
        ]


@contextmanager
def _service(
    command: Sequence[str], environment: Mapping[str, str], out: int
) -> Iterator[psutil.Process]:
    process = subprocess.Popen(command, env=environment, stdout=out, stderr=out)
    try:
        yield psutil.Process(process.pid)
    finally:
        tree = [psutil.Process(process.pid)]
        tree += tree[0].children(recursive=True)
        process.terminate()
        _, alive = psutil.wait_procs(tree, timeout=STOP_SECONDS)
        for each in alive:
            with contextlib.suppress(psutil.Error):
                each.kill()
        process.wait()


def _cpu(services: Sequence[psutil.Process]) -> float:
    """Seconds of their trees: of processes that are there, and of those that have ended."""
    spent = 0.0
    for service in services:
        for each in (service, *service.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                spent += sum(each.cpu_times()[:4])
    return spent


def _run(command: Sequence[str], environment: Mapping[str, str], log: Path) -> float:
    """Seconds of CPU of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with log.open("ab") as out:
        subprocess.run(command, env=environment, check=True, stdout=out, stderr=out)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
