"""Redis by password, by ACL user and by TLS, with real workers; and what the wire refuses."""

from __future__ import annotations

import os
import pickle
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kombu
import pytest
import redis

from planner.errors import Unreachable
from planner.pipeline.load import load_pipeline
from planner.sandbox.workers import environment_of
from planner.settings import Settings
from tests import commands
from tests.commands import Done
from tests.integration.bench import DAYS, Bench
from tests.integration.tls import Certificates, make_certificates, tls_before
from tests.waiting import until
from worker.app import _configuration, transport_url
from worker.ledger.connection import connect, require
from worker.processes.children import Child, supervised
from worker.processes.embedded_redis import find_redis_server
from worker.processes.workers import run_workers

ROOT = Path(__file__).parents[2]
PASSWORD = "p%w/r:d@?#"  # everything that has a meaning in an address
QUOTED = "p%25w%2Fr%3Ad%40%3F%23"


def rules() -> list[str]:
    """The least rights of an ACL user, as docs/operations.md gives them."""
    text = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    found = re.search(r"ACL SETUSER fleet on '>PASSWORD' (.*)", text)
    assert found
    return found[1].split()


@dataclass(frozen=True, kw_only=True)
class Guarded:
    """A Redis that asks who is there."""

    port: int
    admin: redis.Redis


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (folder / "redis.conf").write_text(
        f'port {port}\nbind 127.0.0.1\ndir {folder}\nsave ""\nappendonly yes\n'
        f'requirepass "{PASSWORD}"\n'
    )
    server = Child(
        name="guarded",
        command=[str(find_redis_server()), str(folder / "redis.conf")],
        log=folder / "log",
        stop_seconds=5,
    )
    with supervised([server]):
        admin = redis.Redis(port=port, password=PASSWORD, decode_responses=True)

        def answers() -> bool:
            try:
                return bool(admin.ping())
            except redis.ConnectionError:
                return False

        until(answers)
        yield Guarded(port=port, admin=admin)
        admin.close()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls") / "ours")


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def settings_for(bench: Bench, url: str) -> Settings:
    bench.context(bench.script())
    return Settings(
        _env_file=None,  # type: ignore[call-arg]
        warehouse=f"local:{bench.place / 'warehouse'}",
        pipeline=str(bench.place / "bench.toml"),
        broker_url=url,
        home=bench.place / "home",
        poll_max_seconds=0.2,
        lease_seconds=2,
    )


def worker_environment(settings: Settings) -> dict[str, str]:
    place = settings.warehouse.removeprefix("local:")
    return {**environment_of(settings), "WAREHOUSE_PLACE": place}


def planner(settings: Settings, *arguments: str) -> Done:
    environment = {**os.environ, **environment_of(settings)}
    return commands.planner(*arguments, environment=environment, cwd=settings.home.parent)


class Evil:
    """What a pickle message would do."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def send_pickles(url: str, queue: str, path: Path) -> None:
    """As a task, as a bare message, and as the answer of a task."""
    headers = {"task": "backfill.step", "id": "1", "lang": "py", "argsrepr": "", "kwargsrepr": ""}
    with kombu.Connection(url) as connection:
        producer = connection.Producer()
        for more in ({}, headers):
            producer.publish(
                pickle.dumps(((Evil(path),), {}, {})),
                routing_key=queue,
                content_type="application/x-python-serialize",
                content_encoding="binary",
                headers=more,
            )
        client = producer.channel.client
        for item in ("no JSON", "null", "[]", '{"body": 1}', "[" * 100_000, b"\xff\xfe"):
            client.lpush(queue, item)
        for body in ("[", "null", "[1, 2]", '[["run-1"], {}, {}]', '[[["../x"], "y"], {}, {}]'):
            producer.publish(
                body,
                routing_key=queue,
                content_type="application/json",
                content_encoding="utf-8",
                headers=headers,
            )
        producer.publish(
            [["x"], {}, {}], routing_key=queue, headers={**headers, "task": "os.system"}
        )


def test_a_password_and_messages_that_nobody_should_send(
    guarded: Guarded, tmp_path: Path, stack: ExitStack
) -> None:
    # Given a worker behind a password
    bench = Bench(place=tmp_path)
    url = f"redis://:{QUOTED}@localhost:{guarded.port}/1"
    settings = settings_for(bench, url)
    (worker,) = stack.enter_context(
        run_workers(settings, workers=1, environment=worker_environment(settings))
    )

    # When it is sent pickles, and JSON without sense
    harm = tmp_path / "harm"
    send_pickles(url, "facts", harm)

    # Then it refuses them, lives on, and does its work
    done = planner(settings, "enqueue", "--gaps", "--wait", "--yes", "--chunk-dates", "8")
    assert done.code == 0, done.err
    assert bench.days_of() == list(DAYS)
    assert worker.restarts == 0
    assert not harm.exists()
    log = worker.log.read_text()
    assert "application/x-python-serialize" in log
    assert "ContentDisallowed" in log or "Can't decode message body" in log
    # and the password is in no log, report or answer
    for path in (tmp_path / "home").rglob("*"):
        if path.is_file():
            text = path.read_text(errors="replace")
            assert PASSWORD not in text, path
            assert QUOTED not in text, path
    assert QUOTED not in planner(settings, "settings").out
    # and nobody else reads any of them
    for path in (tmp_path / "home", *(tmp_path / "home").rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.slow
def test_a_run_as_the_user_that_the_documents_make_and_over_tls(
    guarded: Guarded, certificates: Certificates, tmp_path: Path, stack: ExitStack
) -> None:
    # Given a user with the least rights, a server that asks clients for a certificate as well
    guarded.admin.execute_command("ACL", "SETUSER", "fleet", "on", f">{PASSWORD}", *rules())
    guarded.admin.acl_log_reset()
    port = stack.enter_context(tls_before(guarded.port, certificates, asks_clients=True))
    bench = Bench(place=tmp_path)
    settings = settings_for(
        bench,
        f"rediss://fleet:{QUOTED}@localhost:{port}/2?ssl_ca_certs={certificates.authority}"
        f"&ssl_certfile={certificates.pair}",
    )
    stack.enter_context(run_workers(settings, workers=1, environment=worker_environment(settings)))

    # When a run is published, worked on, and asked about
    done = planner(settings, "enqueue", "--gaps", "--wait", "--yes", "--chunk-dates", "8")
    assert done.code == 0, done.err
    whom = ("--destination", f"worker-1@{socket.gethostname()}")
    ping = subprocess.run(
        [
            sys.executable,
            "-P",
            "-m",
            "worker",
            "inspect",
            "ping",
            "--timeout",
            "10",
            *whom,
        ],
        env={**os.environ, **environment_of(settings)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    # Then nothing was out of bounds, but that redis-py says its name, which old versions refuse
    assert "pong" in ping.stdout, ping.stderr
    assert bench.days_of() == list(DAYS)
    assert {entry["object"] for entry in guarded.admin.acl_log()} <= {"client"}
    # and the user may not do what a fleet never does
    user = redis.Redis(port=guarded.port, username="fleet", password=PASSWORD, db=2)
    for command in (
        "FLUSHALL",
        "FLUSHDB",
        "KEYS *",
        "CONFIG GET *",
        "ACL LIST",
        "SHUTDOWN",
        "MODULE LIST",
    ):
        with pytest.raises(redis.exceptions.NoPermissionError):
            user.execute_command(*command.split())
    user.close()
    guarded.admin.acl_deluser("fleet")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("", "certificate verify failed"),
        ("?ssl_cert_reqs=required", "certificate verify failed"),
        ("?ssl_ca_certs={other}", "certificate verify failed"),
        ("?ssl_ca_certs={ours}", None),
        ("?ssl_cert_reqs=none", None),
    ],
)
def test_a_certificate_is_verified_unless_told_otherwise_by_every_client(
    guarded: Guarded,
    certificates: Certificates,
    tmp_path: Path,
    stack: ExitStack,
    options: str,
    said: str | None,
) -> None:
    other = make_certificates(tmp_path / "other")
    port = stack.enter_context(tls_before(guarded.port, certificates))
    query = options.format(other=other.authority, ours=certificates.authority)
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]
        broker_url=f"rediss://:{QUOTED}@localhost:{port}/3{query}",
    )
    assert tries(settings) == [said] * 3


def test_a_certificate_for_another_host_is_refused_by_every_client(
    guarded: Guarded, tmp_path: Path, stack: ExitStack
) -> None:
    made = make_certificates(tmp_path / "other", host="redis.example")
    port = stack.enter_context(tls_before(guarded.port, made))
    url = f"rediss://:{QUOTED}@localhost:{port}/3?ssl_ca_certs={made.authority}"
    strict = Settings(_env_file=None, broker_url=url)  # type: ignore[call-arg]
    loose = Settings(_env_file=None, broker_url=f"{url}&ssl_check_hostname=false")  # type: ignore[call-arg]

    assert tries(strict) == ["certificate verify failed"] * 3
    assert tries(loose) == [None] * 3


def tries(settings: Settings) -> list[str | None]:
    """What the ledger's client, the broker's and the results' are told: None when they get in."""
    from celery import Celery

    url = transport_url(settings)
    app = Celery("tries", broker=url, backend=url, set_as_current=False)
    app.conf.update(_configuration(settings, [load_pipeline("nba")]))
    ledger = connect(settings, patient=False)

    def asks_broker() -> None:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0)
            connection.default_channel.client.ping()

    told: list[str | None] = []
    for ask in (lambda: require(ledger, settings), asks_broker, lambda: app.backend.client.ping()):
        try:
            ask()
        except (Unreachable, redis.ConnectionError, kombu.exceptions.OperationalError) as error:
            found = re.search("certificate verify failed", str(error))
            told.append(found[0] if found else str(error))
        else:
            told.append(None)
    ledger.close()
    app.backend.client.close()
    app.close()
    return told
