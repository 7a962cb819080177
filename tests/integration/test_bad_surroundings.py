"""Settings that cannot be, no Redis, no warehouse: every command says so, and does nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from planner.settings import Settings
from tests.integration.bad import ESCAPE, LINES, LONG, SIGNS, UP, Run, everything
from tests.integration.service import Service, served

# -- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WAREHOUSE", ESCAPE),
        ("PIPELINE", UP),
        ("PIPELINE", "/dev/zero"),
        ("PIPELINE", LONG),
        ("PIPELINE", LINES),
        ("BROKER_URL", ""),
        ("BROKER_URL", "localhost"),
        ("BROKER_URL", "http://localhost:6379"),
        ("BROKER_URL", "amqp://guest@localhost//"),
        ("BROKER_URL", "redis://"),
        ("BROKER_URL", "redis://host:99999/0"),
        ("BROKER_URL", "redis://host:port/0"),
        ("BROKER_URL", "redis://host/zero"),
        ("BROKER_URL", "redis://host/0?nothing=1"),
        ("BROKER_URL", "redis://host/0?ssl_cert_reqs=none"),
        ("BROKER_URL", "redis://:pass#word@host/0"),
        ("BROKER_URL", "redis://[::1"),
        ("BROKER_URL", "unix://relative.sock"),
        ("BROKER_URL", "rediss://host/0?ssl_cert_reqs=perhaps"),
        ("BROKER_URL", "rediss://host/0?ssl_check_hostname=perhaps"),
        ("BROKER_URL", "rediss://host/0?ssl_ca_certs=/no/such.pem"),
        ("BROKER_URL", "rediss://host/0?ssl_ca_cert=/no/such.pem"),
        ("BROKER_URL", LINES),
        ("HOME", "a\nb"),
        ("LEASE_SECONDS", "NaN"),
        ("LEASE_SECONDS", "-1"),
        ("VISIBILITY_SECONDS", "9" * 5000),
        ("MAX_BYTES", "0"),
        ("HISTORY_DATASET", "ops; DROP"),
    ],
)
@pytest.mark.parametrize("command", ["gaps", "settings"])
def test_a_setting_that_cannot_be_is_told_by_its_name(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch, command: str, name: str, value: str
) -> None:
    monkeypatch.setenv(f"BACKFILL_{name}", value)

    told = run(command)

    if (command, name) == ("settings", "PIPELINE") and value != LINES:
        assert told.code == 0  # it shows what is set, and reads nothing
        return
    assert told.code == 2, told
    assert f"BACKFILL_{name}" in told.err or "bench.toml" in told.err or "/dev/zero" in told.err
    assert "pass#word" not in told.err


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"BACKFILL_HOME='\x1b[2J'\n"])
def test_settings_in_a_file_are_settings(
    run: Run, place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes
) -> None:
    monkeypatch.delenv("BACKFILL_HOME")
    (tmp_path / ".env").write_bytes(content)
    monkeypatch.chdir(tmp_path)

    assert run("settings").code == 2


@pytest.mark.parametrize("home", ["/proc/home", "/dev/null", "/dev/null/home"])
@pytest.mark.parametrize(
    "arguments", [["gaps"], ["plan"], ["enqueue", "--gaps"], ["validate", "--save", "x"], ["up"]]
)
@pytest.mark.quick(0, 4, 8, 9, 13)
def test_a_home_that_cannot_be_made_is_named(
    run: Run, client: redis.Redis, monkeypatch: pytest.MonkeyPatch, home: str, arguments: list[str]
) -> None:
    monkeypatch.setenv("BACKFILL_HOME", home)
    monkeypatch.setattr("planner.commands.up.stop_on_sigterm", lambda: None)

    told = run(*arguments)

    assert told.code == 2, told
    assert home in told.err
    assert "BACKFILL_HOME" in told.err
    assert client.keys() == []


# -- what is around ------------------------------------------------------------------------------

ASKS_REDIS = (
    ["runs"],
    *([name, "run-1"] for name in ("status", "watch", "report", "pause", "resume", "cancel")),
    ["retry", "run-1"],
    ["enqueue", "--gaps"],
)


def page(call: Any) -> tuple[int, str]:
    return 200, f"<html>{ESCAPE * 1000}</html>"


@pytest.fixture(params=["nobody", "a web server", "a file", "a wrong password"])
def no_redis(
    request: pytest.FixtureRequest, tmp_path: Path, redis_settings: Settings, client: redis.Redis
) -> Iterator[str]:
    """An address at which there is no Redis for us."""
    match request.param:
        case "nobody":
            yield "redis://127.0.0.1:1/0"
        case "a web server":
            with served(Service(start=page, status=page)) as service:
                yield service.url.replace("http://", "redis://") + "/0"
        case "a file":
            (tmp_path / "redis.sock").write_text("no socket")
            yield f"unix://{tmp_path / 'redis.sock'}"
        case _:
            client.acl_setuser("somebody", enabled=True, passwords=["+right-password"])
            yield redis_settings.redis_url.replace("unix://", "unix://somebody:wrong-password@")
            client.acl_deluser("somebody")


@pytest.mark.quick("nobody", "a web server")
def test_without_redis_every_command_says_so(
    run: Run, place: Path, client: redis.Redis, monkeypatch: pytest.MonkeyPatch, no_redis: str
) -> None:
    monkeypatch.setenv("BACKFILL_BROKER_URL", no_redis)
    before = everything(place, client)
    for arguments in ASKS_REDIS:
        told = run(*arguments)
        assert (told.code, told.out) == (3, ""), (arguments, told)
        assert "BACKFILL_BROKER_URL" in told.err
        assert "wrong-password" not in told.err
        assert len(told.err) < 600
    # and what needs none does its work
    assert run("gaps").code == 1
    assert run("plan").code == 0
    assert run("doctor").code == 3
    assert everything(place, client) == before


def gone(warehouse: Path) -> None:
    shutil.rmtree(warehouse)


def a_file(warehouse: Path) -> None:
    shutil.rmtree(warehouse)
    warehouse.write_text("no folder")


def without_a_table(warehouse: Path) -> None:
    shutil.rmtree(warehouse / "lake" / "first")


def with_a_log_of(text: bytes) -> Callable[[Path], None]:
    def break_it(warehouse: Path) -> None:
        for log in (warehouse / "lake" / "raw" / "_delta_log").glob("*.json"):
            log.write_bytes(text)

    return break_it


def without_its_files(warehouse: Path) -> None:
    for file in (warehouse / "lake" / "raw").rglob("*.parquet"):
        file.unlink()


def with_other_files(warehouse: Path) -> None:
    for file in (warehouse / "lake" / "raw").rglob("*.parquet"):
        file.write_bytes(b"PAR1 and nothing else PAR1")


@pytest.mark.parametrize(
    "break_it",
    [
        gone,
        a_file,
        without_a_table,
        with_a_log_of(b""),
        with_a_log_of(b"\xff\xfe\x00"),
        with_a_log_of(b'{"add": {"path": "../../../etc/passwd"}}'),
        with_a_log_of(b"[" * 100_000),
        without_its_files,
        with_other_files,
    ],
)
def test_without_a_warehouse_nothing_is_taken_for_a_gap(
    run: Run,
    place: Path,
    client: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    break_it: Callable[[Path], None],
) -> None:
    shutil.copytree(place / "warehouse", tmp_path / "warehouse")
    break_it(tmp_path / "warehouse")
    monkeypatch.setenv("BACKFILL_WAREHOUSE", f"local:{tmp_path / 'warehouse'}")

    for arguments in (["gaps"], ["plan"], ["validate"], ["enqueue", "--gaps"], ["doctor"]):
        told = run(*arguments)
        assert told.code == 3, (arguments, told)
        assert told.out == "" or arguments == ["doctor"], told
        assert str(tmp_path / "warehouse") in told.err + told.out
    assert client.keys() == []


@pytest.mark.parametrize("setting", ["", "lake", "s3:bucket", "local:", "bigquery:", SIGNS])
def test_a_warehouse_that_there_is_not_is_named(
    run: Run, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.setenv("BACKFILL_WAREHOUSE", setting)

    for arguments in (["gaps"], ["validate"], ["enqueue", "--gaps"]):
        told = run(*arguments)
        assert (told.code, told.out) == (3, ""), told
        assert "BACKFILL_WAREHOUSE" in told.err
