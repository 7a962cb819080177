"""A service, a file or a command that says too much, too slowly, or what is no answer at all."""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from planner.pipeline.runners import HttpBatchRunner, Secret
from tests.integration.bench import TABLES, Bench
from tests.integration.service import Service, served
from tests.integration.test_http_runner import NO_BATCH, STARTED, of_batch, runner, say
from worker.runners import Stopped, choose, client, credentials, http_batch, output
from worker.runners.client import ANSWER_BYTES, open_client
from worker.runners.credentials import SECRET_BYTES, NoSecret, read

MEMORY = 20_000_000  # bytes that reading a hostile answer may take, at most
ENDLESS = 300_000_000


@contextmanager
def speaking(head: bytes, parts: Callable[[], Iterator[bytes]]) -> Iterator[str]:
    """A server that says these bytes to everybody, as long as they listen."""

    def speak(peer: socket.socket) -> None:
        with peer:
            peer.recv(65_536)
            try:
                peer.sendall(head)
                for part in parts():
                    peer.sendall(part)
            except OSError:
                pass  # they have heard enough

    def accept() -> None:
        while True:
            try:
                peer, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=speak, args=(peer,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
    thread.join(5)


def endless() -> Iterator[bytes]:
    for _ in range(ENDLESS // 1_000_000):
        yield b"[" * 1_000_000


def dripping() -> Iterator[bytes]:
    while True:
        yield b" "
        time.sleep(0.02)


def bomb() -> Iterator[bytes]:
    packer = zlib.compressobj(wbits=31)  # gzip
    for _ in range(ENDLESS // 1_000_000):
        yield packer.compress(b"0" * 1_000_000)


@pytest.mark.parametrize(
    ("head", "parts", "said"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n", endless, "larger than"),
        (b"HTTP/1.1 401 Who are you\r\n\r\n", endless, "larger than"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n", endless, "larger than"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", bomb, "compressed"),
        (b"HTTP/1.1 200 OK\r\nX-Much: " + b"x" * 200_000 + b"\r\n\r\n", endless, None),
        (b"HTTP/1.1 200 OK\r\n\r\n", dripping, "takes longer than"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", endless, None),
    ],
    ids=["endless", "endless 401", "huge", "bomb", "huge header", "drip", "another protocol"],
)
def test_an_answer_is_read_with_limits(
    monkeypatch: pytest.MonkeyPatch,
    head: bytes,
    parts: Callable[[], Iterator[bytes]],
    said: str | None,
) -> None:
    monkeypatch.setattr(client, "ANSWER_SECONDS", 0.3)
    monkeypatch.setenv("LIMITS_TOKEN", "a-token-of-mine")
    auth = credentials.Auth("x", token=Secret(env="LIMITS_TOKEN"), api_key=None)
    began = time.monotonic()
    tracemalloc.start()
    try:
        with (
            speaking(head, parts) as url,
            open_client(url, auth=auth) as asking,
            pytest.raises(httpx.HTTPError, match=said),
        ):
            asking.get("/status")
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()
    assert time.monotonic() - began < 10


def dripping_header() -> Iterator[bytes]:
    yield b"X-Slow: "
    while True:
        yield b"x"
        time.sleep(0.02)


def interim() -> Iterator[bytes]:
    while True:
        yield b"HTTP/1.1 102 Processing\r\n\r\n"
        time.sleep(0.02)


SLOW = pytest.mark.parametrize(
    ("head", "parts"),
    [(b"HTTP/1.1 200 OK\r\n", dripping_header), (b"", interim), (b"", dripping_header)],
    ids=["header by drips", "interim answers", "status line by drips"],
)


@SLOW
def test_a_request_has_one_deadline(head: bytes, parts: Callable[[], Iterator[bytes]]) -> None:
    began = time.monotonic()

    with (
        speaking(head, parts) as url,
        open_client(url, seconds=0.5) as asking,
        pytest.raises(httpx.TimeoutException),
    ):
        asking.get("/status")

    assert time.monotonic() - began < 5


@SLOW
def test_a_probe_has_one_deadline(
    monkeypatch: pytest.MonkeyPatch, head: bytes, parts: Callable[[], Iterator[bytes]]
) -> None:
    monkeypatch.setattr(http_batch, "PROBE_SECONDS", 0.5)
    began = time.monotonic()

    with speaking(head, parts) as url:
        spec = HttpBatchRunner(kind="http_batch", url=url)
        assert choose.absence(spec, Path()) is None
        readiness = http_batch.HttpBatch(spec).readiness()

    assert not readiness.ok
    assert "does not answer" in readiness.detail
    assert time.monotonic() - began < 5


@SLOW
def test_a_step_stops_while_its_service_is_slow(
    bench: Bench, head: bytes, parts: Callable[[], Iterator[bytes]]
) -> None:
    began = time.monotonic()

    def stop() -> str | None:
        return "the run was cancelled" if time.monotonic() - began > 0.5 else None

    with speaking(head, parts) as url:
        ended = bench.attempt(runner(url), stop=stop)

    assert isinstance(ended, Stopped)
    assert ended.why == "the run was cancelled"
    assert time.monotonic() - began < 10


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(place=tmp_path)


NESTED = "[" * 90_000 + "]" * 90_000


@pytest.mark.parametrize(
    "body",
    [
        "",
        "null",
        "[]",
        "42",
        '"started"',
        "<html><title>Sign in</title></html>",
        "NaN",
        "1" * 5000,
        NESTED,
        '{"batch_id": ' + NESTED + "}",
        '{"batch_id": ' + "[" * 400 + "]" * 400 + "}",
        '{"batch_id": ["b1"]}',
        '{"batch_id": {"a": 1}}',
        '{"batch_id": "\\ud800"}',
        '{"batch_id": "b1\\r\\nX-Evil: 1"}',
        '{"batch_id": "\\u001b[2J"}',
        json.dumps({"batch_id": "b" * 100_000}),
        json.dumps({"batch_id": True}),
    ],
    ids=range(18),
)
def test_a_start_without_sense_fails_in_words(bench: Bench, body: str) -> None:
    with served(Service(start=say((202, body)), status=say(NO_BATCH))) as service:
        ended = bench.to_the_end(
            runner(service.url).replace("settle_seconds = 2", "settle_seconds = 0")
        )

    assert ended.done == ()
    (why,) = {text.partition(" (")[0] for text in {**ended.short, **ended.permanent}.values()}
    assert why
    assert why.isprintable()
    assert len(why) < 2000


@pytest.mark.parametrize(
    "body",
    [
        '{"status": "failed", "message": "\\u001b]0;owned\\u0007 \\ud800 <script>"}',
        '{"status": "failed", "message": ' + "[" * 500 + "]" * 500 + "}",
        json.dumps({"status": "failed", "summary": {"x": "y" * 500_000}}),
        '{"status": "failed", "progress": "none", "message": 1e999}',
        '{"status": ["failed"], "is_stalled": true}',
    ],
    ids=range(5),
)
def test_what_a_service_says_of_a_batch_is_kept_short_and_clean(bench: Bench, body: str) -> None:
    with served(Service(start=say(STARTED), status=of_batch((200, body)))) as service:
        ended = bench.to_the_end(runner(service.url))

    assert ended.done == ()
    for why in ended.short.values():
        assert why.isprintable()
        assert why.encode()
        assert len(why) < 2000


def test_a_service_that_says_too_much_does_not_hide_another_runner() -> None:
    """Looking for its page reads with limits, too."""
    with speaking(b"HTTP/1.1 404 Not Found\r\n\r\n", endless) as url:
        spec = HttpBatchRunner(kind="http_batch", url=url)

        assert choose.absence(spec, Path()) is None


# -- tokens ----------------------------------------------------------------------------------


def python(code: str) -> Secret:
    return Secret(command=(sys.executable, "-c", code))


@pytest.mark.parametrize(
    ("secret", "said"),
    [
        (python("while True: print('x' * 65536)"), "prints more than any has"),
        (python("import os; os.write(1, bytes(range(256)))"), "not text"),
        (python("print('two'); print('lines')"), "more than one line"),
        (python("import os, signal; os.kill(os.getpid(), signal.SIGTERM)"), "ended by signal 15"),
        (python("import time; print('t', flush=True); time.sleep(60)"), "longer than 1 s"),
        # A child that keeps the output open for longer than the command lives
        (
            python("import subprocess; subprocess.Popen(['sleep', '60']); print('x')"),
            "longer than 1 s",
        ),
        (Secret(file="/dev/zero"), "no such file"),
        (Secret(file="/dev/null"), "no such file"),
        (Secret(file="/"), "no such file"),
        (Secret(file="big"), "more than 64,000 bytes"),
        (Secret(file="binary"), "not text"),
        (Secret(file="empty"), "there is no token"),
        (Secret(file="\x1b[2J"), "no such file"),
    ],
    ids=range(13),
)
def test_what_is_no_token_is_not_waited_for_or_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret: Secret, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(credentials, "COMMAND_SECONDS", 1.0)
    Path("big").write_text("x" * (SECRET_BYTES + 1))
    Path("binary").write_bytes(b"\xff\xfe")
    Path("empty").write_text(" \n")
    began = time.monotonic()

    with pytest.raises(NoSecret, match=said):
        read(secret, "https://service.example")

    assert time.monotonic() - began < 10


# -- scripts ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "code",
    [
        "import os; os.write(1, bytes(range(256)) * 4_000); raise SystemExit(3)",
        "import os; os.write(2, b'x' * 2_000_000); raise SystemExit(3)",
        r"print('\x1b]0;owned\x07\x1b[2J' * 1000, end=''); raise SystemExit(3)",
        r"print('\n' * 1_000_000); raise SystemExit(3)",
    ],
    ids=["binary", "2 MB without a line", "escapes", "empty lines"],
)
def test_what_a_script_prints_is_kept_short_and_clean(
    bench: Bench, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "LOG_BYTES", 100_000)
    command = json.dumps([sys.executable, "-c", code])
    more = f'[[phases.runners]]\nkind = "script"\ncommand = {command}'

    ended = bench.to_the_end(more)

    assert ended.done == ()
    for why in ended.short.values():
        assert "exit code 3" in why
        assert printable_lines(why)
        assert len(why) < 3000
    size = sum(f.stat().st_size for f in (bench.place / "home" / "logs").rglob("*") if f.is_file())
    assert size < 600_000
    assert bench.days_of(TABLES[0]) == []


def printable_lines(text: str) -> bool:
    return all(line.replace("\t", " ").isprintable() for line in text.split("\n"))


def test_an_answer_of_the_usual_size_is_read() -> None:
    body = b"x" * (ANSWER_BYTES - 1)
    with speaking(b"HTTP/1.1 200 OK\r\n\r\n", lambda: iter([body])) as url, open_client(url) as c:
        assert c.get("/").content == body
