"""A service that makes forecasts for the stores: one batch of dates at a time.

python service/forecast.py
"""

import json
import os
import uuid
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from urllib.parse import parse_qs, urlsplit

from sql import open_warehouse

WAREHOUSE = os.environ.get("BACKFILL_WAREHOUSE", "local:warehouse")
PORT = int(os.environ.get("FORECAST_PORT", "8765"))
STATEMENT = Path(__file__).with_suffix(".sql")

batches: dict[str, str] = {}
"""Batch → its status: running, complete or failed."""
starting = Lock()  # held by a start until its batch is known


def make(batch: str, start: date, end: date) -> None:
    """Make the rows of some dates anew."""
    status = "failed"
    try:
        warehouse = open_warehouse(WAREHOUSE)
        try:
            span = {"start_date": start, "end_date": end}
            warehouse.run(STATEMENT.read_text(encoding="utf-8"), span)
        finally:
            warehouse.close()
        status = "complete"
    finally:
        batches[batch] = status
        print(f"{start} to {end}: {status}", flush=True)


class Service(BaseHTTPRequestHandler):
    """What the fleet asks: start a batch, how it stands, whether anything is there."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        start, end = (date.fromisoformat(asked[key]) for key in ("start_date", "end_date"))
        with starting:
            running = [batch for batch, status in batches.items() if status == "running"]
            if running:
                self.answer(409, {"status": "already_running", "batch_id": running[0]})
                return
            batch = uuid.uuid4().hex
            batches[batch] = "running"
        Thread(target=make, args=(batch, start, end)).start()
        self.answer(202, {"status": "started", "batch_id": batch})

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/health":
            self.answer(200, {"status": "healthy"})
            return
        running = [batch for batch, status in batches.items() if status == "running"]
        (batch,) = parse_qs(url.query).get("batch_id", running[:1] or [""])
        if batch in batches:
            self.answer(200, {"status": batches[batch], "batch_id": batch})
        elif batch:
            self.answer(404, {"status": "not_found"})
        else:
            self.answer(200, {"status": "no_active_batch"})

    def answer(self, code: int, content: dict[str, str]) -> None:
        """Answer with JSON."""
        body = json.dumps(content).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Log no request: batches say what they do."""


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", PORT), Service)
    print(f"http://127.0.0.1:{server.server_address[1]}", flush=True)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        server.server_close()
