"""A batch service that answers what a test has it answer, over real HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

Answer = tuple[int, Any]
"""HTTP status and body: JSON, or text as it is."""


@dataclass(kw_only=True)
class Call:
    """A request that came in."""

    method: str
    path: str
    body: Any
    headers: Mapping[str, str]
    query: Mapping[str, list[str]]


@dataclass(kw_only=True)
class Service:
    """What it answers, and what it was asked."""

    start: Callable[[Call], Answer]
    status: Callable[[Call], Answer]
    url: str = ""
    calls: list[Call] = field(default_factory=list)

    def asked(self, path: str) -> list[Call]:
        return [call for call in self.calls if call.path == path and call.method != "OPTIONS"]


@contextmanager
def served(service: Service) -> Iterator[Service]:
    """Serve while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def _handle(self) -> None:
            url = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(length)
            call = Call(
                method=self.command,
                path=url.path,
                body=json.loads(raw) if raw else None,
                headers=dict(self.headers.items()),
                query=parse_qs(url.query),
            )
            service.calls.append(call)
            if url.path == "/start":
                code, body = service.start(call)
            elif url.path == "/status":
                code, body = service.status(call)
            else:
                code, body = (200, {}) if url.path == "/health" else (404, {"error": "no page"})
            if code == 0:  # hangs up without an answer
                return
            text = body if isinstance(body, str) else json.dumps(body)
            self.send_response(code)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_OPTIONS = _handle

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    service.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield service
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
