"""The prediction coordinator: an HTTP service that predicts dates, one batch at a time.

    GET  /health             200
    POST /start              {"game_date"}, or as it was planned {"start_date", "end_date"}; other
                             keys are ignored, and without a date it is today's, as at the real one
                             202 started · 200 no_games_scheduled · 400 · 401 · 409 already_running
    GET  /status?batch_id=   200 with `progress` · 401 · 404 not_found

It listens on this machine only. `COORDINATOR_TOKEN` is the bearer token it asks for, and
`BACKFILL_WAREHOUSE` the warehouse it writes to. `force` never ends a batch that is running.
"""

from __future__ import annotations

import argparse
import hmac
import json
import os
import signal
import sys
import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock, Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

from planner.sandbox.faults import Crashed
from planner.sandbox.fill import PHASES, fill
from planner.sandbox.job import WAREHOUSE
from planner.sandbox.seasons import after_bootstrap
from sql import Table, WarehouseError, open_warehouse

TOKEN = "COORDINATOR_TOKEN"
PHASE = "predictions"

HOST = "127.0.0.1"
_BODY_BYTES = 64 * 1024  # a plan is a hundred bytes
_STOP_SECONDS = 30  # how long a batch may take to notice that the service stops

_GAMES = Table(name="nba_raw.bdl_player_boxscores", date="game_date")

Answer = tuple[int, dict[str, Any]]
"""HTTP status and JSON body."""


@dataclass(kw_only=True, slots=True)
class Batch:
    """One range of dates, and how far it is. Written by its own thread only."""

    id: str
    start: date
    end: date
    expected: int
    """Players to predict for, one per player and game."""
    completed: int = 0
    status: str = "running"
    summary: str = ""

    @property
    def progress(self) -> dict[str, Any]:
        """As `/status` and a refused `/start` show it."""
        remaining = self.expected - self.completed
        return {
            "expected": self.expected,
            "completed": self.completed,
            "failed": remaining if self.status == "failed" else 0,
            "remaining": 0 if self.status == "failed" else remaining,
            "is_complete": self.status == "complete",
            "progress_percentage": round(100 * self.completed / max(self.expected, 1), 1),
        }


class Coordinator:
    """The service, for use inside a process: `start()` gives its address, `stop()` ends it."""

    def __init__(self, warehouse: str, token: str | None = None, *, port: int = 0) -> None:
        self._warehouse = warehouse
        self._token = token
        self._batches: dict[str, Batch] = {}
        self._running: Batch | None = None
        self._threads: list[Thread] = []
        self._lock = Lock()  # held by a start until its batch is known
        self._stop = Event()
        self._server = ThreadingHTTPServer((HOST, port), _handler(self))
        self._server.daemon_threads = True

    def start(self) -> str:
        """Serve in the background; the address."""
        thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        self._threads.append(thread)
        return f"http://{HOST}:{self._server.server_address[1]}"

    def stop(self) -> None:
        """End the batch that is running, and stop serving."""
        self._stop.set()
        if self._threads:  # a server that never served would be waited for without end
            self._server.shutdown()
        self._server.server_close()
        for thread in self._threads:
            thread.join(_STOP_SECONDS)

    # -- what it answers ---------------------------------------------------------------------

    def allows(self, key: str | None) -> bool:
        """Whether the caller has the token, or none is asked for."""
        return self._token is None or hmac.compare_digest(
            (key or "").encode(), self._token.encode()
        )

    def status(self, batch_id: str | None) -> Answer:
        """One batch, or the one that is running."""
        batch = self._batches.get(batch_id) if batch_id else self._running
        if batch is None and batch_id:
            return 404, {"status": "not_found"}
        if batch is None:
            return 200, {"status": "no_active_batch"}
        return 200, {
            "status": batch.status,
            "batch_id": batch.id,
            "progress": batch.progress,
            "is_stalled": False,
            "summary": batch.summary,
        }

    def begin(self, body: bytes) -> Answer:
        """Start a batch for the body's dates."""
        try:
            start, end = dates_of(json.loads(body))
        except (ValueError, TypeError, AttributeError) as error:
            return 400, {"error": f"not a plan: {error!r}"}
        with self._lock:
            if self._running is not None:
                running = self._running
                return 409, {
                    "status": "already_running",
                    "batch_id": running.id,
                    "progress": running.progress,
                }
            try:
                players = self._players(start, end)
            except WarehouseError as error:
                return 500, {"error": str(error)}
            if not players:
                return 200, {"status": "no_games_scheduled"}
            batch = Batch(id=uuid.uuid4().hex, start=start, end=end, expected=players)
            self._batches[batch.id] = self._running = batch
            thread = Thread(target=self._predict, args=(batch,))
            self._threads = [old for old in self._threads if old.is_alive()] + [thread]
            thread.start()
        return 202, {"status": "started", "batch_id": batch.id, "published": players}

    # -- what it does ------------------------------------------------------------------------

    def _players(self, start: date, end: date) -> int:
        """How many players play, one per player and game, on dates that are predicted."""
        warehouse = open_warehouse(self._warehouse)
        try:
            return sum(
                cell.rows
                for first, last in after_bootstrap(start, end)
                for cell in warehouse.coverage(_GAMES, first, last).values()
            )
        finally:
            warehouse.close()

    def _predict(self, batch: Batch) -> None:
        status = "failed"
        try:
            warehouse = open_warehouse(self._warehouse)
            try:
                for table in PHASES[PHASE]:
                    fill(warehouse, PHASE, table, batch.start, batch.end, stop=self._stop)
            finally:
                warehouse.close()
            batch.completed, status = batch.expected, "complete"
        except (Crashed, WarehouseError) as error:
            batch.summary = str(error)
        finally:
            # Free before it says that it ended: a client that sees the end may start at once.
            with self._lock:
                self._running = None
            batch.status = status


def dates_of(body: dict[str, Any]) -> tuple[date, date]:
    """First and last date of a batch. Raises `ValueError`, `TypeError` or `AttributeError`."""
    one = body.get("game_date")
    if one is not None or not body.keys() >= {"start_date", "end_date"}:
        day = datetime.now(UTC).date() if one is None else date.fromisoformat(one)
        return day, day
    start, end = (date.fromisoformat(body[key]) for key in ("start_date", "end_date"))
    if end < start:
        raise ValueError(f"{end} is before {start}")
    return start, end


def _handler(coordinator: Coordinator) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10  # seconds for a caller to send its request

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            if url.path == "/health":
                self._answer((200, {"status": "healthy"}))
            elif url.path == "/status" and self._known():
                self._answer(coordinator.status(parse_qs(url.query).get("batch_id", [None])[0]))
            elif url.path != "/status":
                self._answer((404, {"error": "no such page"}))

        def do_POST(self) -> None:
            # Read first: a connection closed with unread bytes loses the answer.
            length = self.headers.get("Content-Length", "")
            if not length.isdecimal() or int(length) > _BODY_BYTES:
                self._answer((400, {"error": "a body of known, small length is needed"}))
                return
            body = self.rfile.read(int(length))
            if urlsplit(self.path).path != "/start":
                self._answer((404, {"error": "no such page"}))
            elif self._known():
                self._answer(coordinator.begin(body))

        def _known(self) -> bool:
            bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
            known = coordinator.allows(bearer or self.headers.get("X-API-Key"))
            if not known:
                self._answer((401, {"error": "unauthorized"}))
            return known

        def _answer(self, answer: Answer) -> None:
            status, content = answer
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            with suppress(BrokenPipeError, ConnectionResetError):  # the caller is gone by now
                self.end_headers()
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Log no request: batches log what they do."""

    return Handler


def main() -> int:
    parser = argparse.ArgumentParser(description="Serve predictions on this machine.")
    parser.add_argument("--port", type=int, default=0, help="0 chooses a free one")
    port = parser.parse_args().port
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    coordinator = Coordinator(
        os.environ.get(WAREHOUSE, ""), os.environ.get(TOKEN) or None, port=port
    )
    print(coordinator.start(), flush=True)
    stop.wait()
    coordinator.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
