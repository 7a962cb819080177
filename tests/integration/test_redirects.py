"""A service that sends its callers elsewhere: nobody goes there, and no token does."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import SecretStr

from planner.report.message import Message as Told
from tests.integration.bench import Bench
from tests.integration.json_server import json_server
from tests.integration.shop import Shop
from worker import notify as notifying
from worker.runners.client import open_client

CODES = [301, 302, 303, 307, 308]
TOKEN = "token-of-the-service-4711"


class Elsewhere:
    """Whoever is asked here has followed."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.url = ""

    def answer(self, method: str, path: str, body: object, headers: Message) -> tuple[int, object]:
        self.asked.append(f"{method} {path} {body} {headers.as_string()}")
        return 200, {"status": "complete", "access_token": "x"}


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    found = Elsewhere()
    with json_server(found.answer) as url:
        found.url = url
        yield found


@contextmanager
def sends_to(url: str, code: int) -> Iterator[str]:
    """A server that sends everybody elsewhere; its address."""

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(code)
            self.send_header("Location", f"{url}/status")
            self.send_header("Refresh", f"0; url={url}")
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST = do_OPTIONS = do_HEAD = _do

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("code", CODES)
def test_a_service_s_redirect_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, elsewhere: Elsewhere, code: int
) -> None:
    monkeypatch.setenv("SERVICE_TOKEN", TOKEN)
    bench = Bench(place=tmp_path)
    with sends_to(elsewhere.url, code) as url:
        ended = bench.attempt(
            f'[[phases.runners]]\nkind = "http_batch"\nurl = "{url}"\npoll_seconds = 0.05\n'
            'settle_seconds = 1\ntoken = { env = "SERVICE_TOKEN" }\n'
        )

    assert str(code) in str(ended)
    assert TOKEN not in str(ended)
    assert elsewhere.asked == []


@pytest.mark.parametrize("code", CODES)
def test_no_client_of_a_service_follows(elsewhere: Elsewhere, code: int) -> None:
    with sends_to(elsewhere.url, code) as url, open_client(url) as client:
        for method in ("GET", "POST", "OPTIONS"):
            assert client.request(method, "/start", json={"a": 1}).status_code == code

    assert elsewhere.asked == []


@pytest.mark.parametrize("code", CODES)
def test_a_web_hook_s_redirect_is_not_followed(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, elsewhere: Elsewhere, code: int
) -> None:
    monkeypatch.setattr(notifying, "PAUSE_SECONDS", 0.01)
    with sends_to(elsewhere.url, code) as url:
        told = {"notify": f"{url}/hook", "notify_secret": SecretStr("key")}
        settings = shop.context.settings.model_copy(update=told)
        message = Told.model_construct(event="run_ended", title="x")
        with pytest.raises(OSError, match=f"answered {code}"):
            notifying._deliver(settings, message)

    assert elsewhere.asked == []
