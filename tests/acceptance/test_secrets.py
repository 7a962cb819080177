"""A secret in every place that can hold one, on a fleet where everything fails and says so.

Whoever is given a secret here says it aloud: scripts print their environment, and the service puts
the headers it was sent into its errors. Then everything that anybody can read is searched.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote

import httpx
import pytest
import redis

from planner.sandbox.workers import environment_of
from planner.settings import Settings
from tests import commands
from tests.commands import Done
from tests.integration.bench import DAYS, JOB, Bench
from tests.integration.service import Answer, Call, Service, served
from tests.waiting import until
from worker.processes.embedded_redis import find_redis_server
from worker.processes.workers import run_workers

FLOWER = ("me", "flower-secret-4711")
BROKER = "broker-s3cr%40t-4712"  # as it stands in the address
TOKEN_FILE = "file-secret-4713"
TOKEN_SAID = "command-secret-4717"
VARIABLES = {
    "SERVICE_TOKEN": "env-secret-4714",
    "SCRIPT_PASSWORD": "script-secret-4715",
    "SERVICE_KEY": "key-secret-4716",
    "OTHER_URL": "https://user:url-secret-4718@service.example/path",
}


def _google_token() -> str:
    """As Google's metadata server gives it: a JSON Web Token for an hour."""
    parts = ({"alg": "none"}, {"exp": int(time.time()) + 3600, "sub": "google-secret-4720"})
    texts = [base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts]
    return ".".join([*texts, base64.urlsafe_b64encode(b"google-secret-4720").decode().rstrip("=")])


GOOGLE = _google_token()
SOUGHT = [
    "flower-secret",
    BROKER,
    unquote(BROKER),
    "file-secret",
    "env-secret",
    "script-secret",
    "key-secret",
    "command-secret",
    "url-secret",
    "service-secret",
    *GOOGLE.split(".")[1:],
]

SAYS_ALL = f"""#!/bin/sh
# A script that says everything it knows, and fills one date, so that its chain goes on.
{sys.executable} {JOB} {DAYS[0]} {DAYS[0]} none
env
echo "$@"
exit 3
"""

PHASE = """
[[phases]]
name = "{name}"
after = ["raw"]
retries = 0
[[phases.tables]]
name = "lake.first"
date = "day"
entities = {{ game = "game" }}
[[phases.runners]]
"""
SERVICE = """kind = "http_batch"
url = "${SERVICE_URL}"
body = { start_date = "{start}", end_date = "{end}", force = false }
"""


def pipeline(place: Path) -> str:
    """Phases `facts`, a script, and one for each place of a token."""
    script = f"""
[[phases.runners]]
kind = "script"
command = ["{place}/says.sh", "${{SERVICE_TOKEN}}"]
env = {{ MY_SECRET = "${{SCRIPT_PASSWORD}}" }}
"""
    tokens = {
        "variable": 'token = { env = "SERVICE_TOKEN" }',
        "file": f'token = {{ file = "{place}/token" }}',
        "command": f'token = {{ command = ["cat", "{place}/said"] }}',
        "google": "token = { google = true }",
        "key": 'api_key = { env = "SERVICE_KEY" }',
    }
    services = [PHASE.format(name=name) + SERVICE + token for name, token in tokens.items()]
    return "\n".join([script, *services])


def say_all(call: Call) -> Answer:
    """Refuses, with everything it was sent."""
    return 500, {"error": f"cannot start: {dict(call.headers)}"}


@contextmanager
def metadata_server() -> Iterator[str]:
    """Google's metadata server, as google-auth asks it; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_token = "/identity" in self.path
            body = GOOGLE.encode() if is_token else b'{"email": "fleet@example", "scopes": []}'
            self.send_response(200)
            self.send_header("Content-Type", "text/html" if is_token else "application/json")
            self.send_header("Metadata-Flavor", "Google")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def started(*command: str, log: Path, environment: dict[str, str] | None = None) -> Iterator[None]:
    """A process that ends with the block."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, env={**os.environ, **(environment or {})}
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait(20)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False


def flower_pages(url: str) -> dict[str, bytes]:
    """Everything that Flower shows."""
    found: dict[str, bytes] = {}
    with httpx.Client(base_url=url, auth=FLOWER, timeout=20) as client:
        until(lambda: client.get("/api/workers?refresh=1").json())
        tasks, workers = (client.get(f"/api/{name}").json() for name in ("tasks", "workers"))
        assert tasks
        paths = ["/", "/workers", "/tasks", "/broker", "/api/tasks", "/api/workers", "/metrics"]
        paths += ["/api/queues/length", "/api/task/types", "/api/workers?refresh=1"]
        paths += [f"/task/{task}" for task in tasks]
        paths += [f"/api/task/info/{task}" for task in tasks]
        paths += [f"/worker/{worker}" for worker in workers]
        for path in paths:
            answer = client.get(path, follow_redirects=True)
            assert answer.status_code == 200, (path, answer.text)
            found[f"Flower {path}"] = answer.content
    return found


def everything(client: redis.Redis, key: bytes) -> bytes:
    """A key's value, however it is kept: a dump is compressed, so it hides text."""
    match client.type(key):
        case b"string":
            value: object = client.get(key)
        case b"hash":
            value = client.hgetall(key)
        case b"list":
            value = client.lrange(key, 0, -1)
        case b"set":
            value = client.smembers(key)
        case b"zset":
            value = client.zrange(key, 0, -1)
        case _:
            value = b""
    return repr(value).encode()


@contextmanager
def everything_running(place: Path, environment: dict[str, str]) -> Iterator[str]:
    """A Redis with a password, a worker and Flower; Flower's address."""
    settings = settings_of(place, environment)
    (place / "redis").mkdir()
    conf = [f"port {settings.broker_url.rpartition(':')[2].removesuffix('/0')}"]
    conf += ["bind 127.0.0.1", f"dir {place / 'redis'}", "appendonly yes", 'save ""']
    (place / "redis.conf").write_text("\n".join([*conf, f"requirepass {unquote(BROKER)}", ""]))
    home, port = settings.folder("logs"), free_port()
    flower = [sys.executable, "-P", "-m", "worker", "flower"]
    flower += ["--address=127.0.0.1", f"--port={port}", "--read-only=True"]
    flower += [
        "--persistent=True",
        f"--db={settings.home_dir}/flower.db",
        "--state-save-interval=1000",
    ]
    with ExitStack() as stack:
        stack.enter_context(
            started(str(find_redis_server()), str(place / "redis.conf"), log=place / "redis.log")
        )
        client = redis.Redis.from_url(settings.broker_url)
        until(lambda: answers(client))
        stack.enter_context(started(*flower, log=home / "flower.log", environment=environment))
        stack.enter_context(run_workers(settings, workers=1, environment=environment))
        url = f"http://127.0.0.1:{port}"
        until(lambda: is_up(url))
        yield url


def settings_of(place: Path, environment: dict[str, str]) -> Settings:
    return Settings(
        _env_file=None,  # type: ignore[call-arg]
        warehouse=f"local:{place / 'warehouse'}",
        pipeline=str(place / "bench.toml"),
        home=place / "home",
        broker_url=environment["BACKFILL_BROKER_URL"],
        grace_seconds=5,
        poll_max_seconds=0.5,
    )


def is_up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthcheck").status_code == 200
    except httpx.HTTPError:
        return False


@pytest.mark.slow
def test_a_secret_is_nowhere(tmp_path: Path) -> None:
    # Given a secret in every place that can hold one
    (tmp_path / "says.sh").write_text(SAYS_ALL)
    (tmp_path / "says.sh").chmod(0o755)
    (tmp_path / "token").write_text(f"{TOKEN_FILE}\n")
    (tmp_path / "said").write_text(TOKEN_SAID)
    Bench(place=tmp_path).context(pipeline(tmp_path))  # writes the pipeline file
    text = (tmp_path / "bench.toml").read_text()
    (tmp_path / "bench.toml").write_text(text.replace("timeout_s", "retries = 0\ntimeout_s", 1))
    broker = {"BACKFILL_BROKER_URL": f"redis://:{BROKER}@127.0.0.1:{free_port()}/0"}
    service = Service(start=say_all, status=lambda call: (200, {"status": "no_active_batch"}))
    with ExitStack() as stack:
        stack.enter_context(served(service))
        google = stack.enter_context(metadata_server())
        environment = {
            **environment_of(settings_of(tmp_path, broker)),
            **VARIABLES,
            "WAREHOUSE_PLACE": str(tmp_path / "warehouse"),
            "SERVICE_URL": service.url.replace("//", "//svc:service-secret-4719@"),
            "GCE_METADATA_HOST": google,
            "GCE_METADATA_IP": google,
            "FLOWER_BASIC_AUTH": ":".join(FLOWER),
        }
        flower = stack.enter_context(everything_running(tmp_path, environment))

        def planner(*arguments: str) -> Done:
            everything = {**os.environ, **environment}
            return commands.planner(*arguments, environment=everything, cwd=tmp_path)

        # When everything fails with all that it can say
        dates = ["--start", str(DAYS[0]), "--end", str(DAYS[1]), "--chunk-dates", "2"]
        done = planner("enqueue", "--gaps", *dates, "--wait", "--json")
        assert done.code == 4, done.err
        run_id, said = done.json["run_id"], {"enqueue": done}
        reasons = {f["phase"]: f["reason"] for f in done.json["status"]["failures"]}
        assert set(reasons) == {"facts", "variable", "file", "command", "google", "key"}
        for command in (
            ["plan", *dates, "--json", "--out", str(tmp_path / "home" / "plan.json")],
            ["status", run_id, "--json"],
            ["report", run_id],
            ["doctor"],
            ["settings"],
        ):
            said[" ".join(command)] = planner(*command)

        # Then every secret was used
        assert "exit code 3" in reasons["facts"]
        sent = [dict(call.headers) for call in service.asked("/start")]
        used = str([headers.get("Authorization", headers.get("X-API-Key")) for headers in sent])
        for secret in ("env-secret", "file-secret", "command-secret", "key-secret", GOOGLE):
            assert secret in used, secret
        assert "***" in reasons["google"]

        # And none is in what was said, in what Flower shows, or anywhere in Redis
        client = redis.Redis.from_url(broker["BACKFILL_BROKER_URL"])
        texts = {f"redis {key!r}": client.dump(key) or b"" for key in client.scan_iter(count=1000)}
        for key in client.scan_iter(count=1000):
            texts[f"text of {key!r}"] = everything(client, key)
        assert texts
        client.save()
        texts |= flower_pages(flower)

    # Nor, when all has ended, in any file: logs, reports, plans, Flower's and Redis's own
    for path in [*(tmp_path / "home").rglob("*"), *(tmp_path / "redis").rglob("*")]:
        if path.is_file():
            texts[str(path)] = path.read_bytes()
    texts |= {f"planner {name}": f"{d.out}\n{d.err}".encode() for name, d in said.items()}
    assert any(b"***" in text for name, text in texts.items() if "logs/run-" in name)
    assert any(name.startswith(str(tmp_path / "home" / "flower.db")) for name in texts)
    assert any(name.endswith("dump.rdb") for name in texts)
    found = [(name, s) for name, text in texts.items() for s in SOUGHT if s.encode() in text]
    assert not found, "\n".join(f"{secret} in {name}" for name, secret in found)
