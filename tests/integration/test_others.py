"""Other users of the machine: whose socket is talked to, and who may read and write our files."""

from __future__ import annotations

import os
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from planner.errors import UsageError
from planner.settings import Settings
from tests.commands import planner
from worker.ledger.connection import connect
from worker.processes.embedded_redis import embedded_broker


def settings_of(home: Path) -> Settings:
    return Settings(_env_file=None, home=home)  # type: ignore[call-arg]


def at(home: Path) -> dict[str, str]:
    return {**os.environ, "BACKFILL_HOME": str(home)}


@contextmanager
def listener(path: Path) -> Iterator[list[bytes]]:
    """A socket of another user, and what it was told."""
    told: list[bytes] = []
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()
    server.settimeout(0.1)
    ended = threading.Event()

    def listen() -> None:
        while not ended.is_set():
            try:
                told.append(server.accept()[0].recv(1000))
            except TimeoutError:
                continue

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield told
    finally:
        ended.set()
        thread.join()
        server.close()


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a socket away")
@pytest.mark.parametrize("command", [["runs"], ["status", "run-20260102-k7xq3w"], ["doctor"]])
def test_a_socket_of_another_user_is_not_talked_to(tmp_path: Path, command: list[str]) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    with listener(home / "redis.sock") as told:
        os.chown(home / "redis.sock", 12345, 12345)

        done = planner(*command, environment=at(home), cwd=tmp_path)

    assert told == []
    assert done.code == 2
    assert f"{home}/redis.sock belongs to user 12345, not to you" in done.err


def test_our_own_socket_is_talked_to(tmp_path: Path) -> None:
    settings = settings_of(tmp_path / "home")
    with embedded_broker(settings):
        assert connect(settings, patient=False).ping()


def test_a_home_that_all_may_write_to_is_refused(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    tmp_path.chmod(0o777)

    with pytest.raises(UsageError, match="Every user of this machine may write to"):
        settings.folder("redis")


@pytest.mark.parametrize("mode", [0o770, 0o720])
def test_the_doctor_says_that_others_may_write(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)

    done = planner("doctor", environment=at(tmp_path), cwd=tmp_path)

    assert f"! home: {tmp_path} \u2192 others may write to it" in done.out


def test_files_are_for_their_owner_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        settings = settings_of(tmp_path / "home")
        with embedded_broker(settings):
            client = connect(settings, patient=False)
            client.set("a", 1)
            client.bgrewriteaof()
            assert client.config_get("port") == {"port": "0"}
            made = {path: path.stat().st_mode for path in settings.home_dir.rglob("*")}
    finally:
        os.umask(before)

    assert any(path.suffix == ".aof" for path in made)
    others = {
        path: oct(mode) for path, mode in made.items() if mode & (stat.S_IRWXG | stat.S_IRWXO)
    }
    assert others == {}
