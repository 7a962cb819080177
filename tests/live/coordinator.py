"""The owner's prediction coordinator, as far as a backfill asks it to make a date anew.

    POST /regenerate-with-supersede   {"game_date", "reason"} → 202 with a batch_id
    GET  /status?batch_id=            200 with `progress`; no_active_batch without an id

Either header is enough: `X-API-Key`, or `Authorization: Bearer`. Rows that were active stay, and
are active no more. `has_page` is false of an older one, which answers 404.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from urllib.parse import parse_qs, urlsplit

from sql import open_warehouse
from tests.live.tables import PREDICTIONS, REGENERATED, fill

PAGE = "/regenerate-with-supersede"
SECRET = "a-secret"


@dataclass(kw_only=True)
class LiveCoordinator:
    """What it is asked, and what it answers."""

    warehouse: str
    has_page: bool = True
    url: str = ""
    asked: list[date] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def regenerate(self, day: date) -> None:
        """Make a date's predictions anew."""
        with self.lock:
            self.asked.append(day)
            warehouse = open_warehouse(self.warehouse)
            try:
                fill(warehouse, PREDICTIONS, day, day, query=REGENERATED)
            finally:
                warehouse.close()


@contextmanager
def live_coordinator(coordinator: LiveCoordinator) -> Iterator[LiveCoordinator]:
    """Serve while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            batch = parse_qs(url.query).get("batch_id", [None])[0]
            if url.path == "/health":
                self._answer(200, {"status": "healthy"})
            elif not self._is_known():
                self._answer(401, {"error": "unauthorized"})
            elif batch is None:
                self._answer(200, {"status": "no_active_batch"})
            else:
                progress = {"is_complete": True, "completed": 1, "expected": 1}
                self._answer(200, {"status": "complete", "batch_id": batch, "progress": progress})

        def do_OPTIONS(self) -> None:
            self._answer(200 if self._is_there() else 404, {})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if not self._is_there():
                self._answer(404, {"error": "no such page"})
            elif not self._is_known():
                self._answer(401, {"error": "unauthorized"})
            else:
                told = json.loads(body)
                assert told["reason"]
                day = date.fromisoformat(told["game_date"])
                coordinator.regenerate(day)
                self._answer(202, {"status": "accepted", "batch_id": f"regenerate-{day}"})

        def _is_there(self) -> bool:
            return coordinator.has_page and urlsplit(self.path).path == PAGE

        def _is_known(self) -> bool:
            bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
            return SECRET in (bearer, self.headers.get("X-API-Key"))

        def _answer(self, code: int, body: dict[str, object]) -> None:
            text = json.dumps(body).encode()
            self.send_response(code)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    coordinator.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield coordinator
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
