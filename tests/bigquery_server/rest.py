"""BigQuery's REST API on this machine, over the tables of a local warehouse.

    python -m tests.bigquery_server.rest --folder DIR --port 0

prints the address to set as BIGQUERY_EMULATOR_HOST. It listens on the loopback interface only,
takes any credentials or none, and serves every project from the one folder. It answers query
jobs, and what there is to ask of tables; what it does not know it answers 501, and fails the
test that asked at the end of `with`.
"""

from __future__ import annotations

import argparse
import json
import socket
import threading
from collections import Counter, deque
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from tests.bigquery_server.api import Api, Request
from tests.bigquery_server.encode import Json
from tests.bigquery_server.faults import ApiError, Fault, Faults, spoilt
from tests.bigquery_server.jobs import statement_of
from tests.bigquery_server.served import ServedWarehouse, Shown

PAGE_ROWS = 10_000  # BigQuery cuts a page at 20 MB; rows are easier to reason about in a test
WAIT_SECONDS = 10.0  # BigQuery's, for a request that waits for a job
REQUESTS_KEPT = 10_000
_HOST = "127.0.0.1"


class BigQueryServer:
    """A server in this process, from `with` to its end.

    folder: the local warehouse's folder. port: 0 picks a free one.
    location: of all datasets but those of `locations`, which are there without a table, too; jobs
    are found there alone, unless it is US or EU. page_rows: the most rows in one answer.
    wait_seconds: how long a request waits for a held job.
    require_partition_filter: tables (`dataset.table`) of which BigQuery would refuse a query
    without a constant filter on the column that partitions them. read_only: tables of which it says
    that their rows may be read and not changed. shown: views, external tables and snapshots.
    by_hour: tables that are partitioned by the hour of a TIMESTAMP, and that column.
    expect_unknown: whether to end quietly although something was asked that it does not know; else
    the end of `with` raises `AssertionError`, unless another exception is under way.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        port: int = 0,
        location: str = "US",
        locations: Mapping[str, str] = MappingProxyType({}),
        page_rows: int = PAGE_ROWS,
        wait_seconds: float = WAIT_SECONDS,
        require_partition_filter: Collection[str] = (),
        read_only: Collection[str] = (),
        shown: Mapping[str, Shown] = MappingProxyType({}),
        by_hour: Mapping[str, str] = MappingProxyType({}),
        expect_unknown: bool = False,
    ) -> None:
        self.folder = Path(folder)
        self.shown = shown
        self.by_hour = by_hour
        self.expect_unknown = expect_unknown
        self.requests: deque[Request] = deque(maxlen=REQUESTS_KEPT)
        """The newest requests, oldest first."""
        self.unknown: list[str] = []
        """Requests, and statements, that this server could not answer: `GET /path`, or why."""
        self._counts: Counter[str | None] = Counter()
        self._came = threading.Condition()
        self._faults = Faults()
        self._api = Api(
            faults=self._faults,
            location=location,
            locations=locations,
            page_rows=page_rows,
            wait_seconds=wait_seconds,
            unknown=self._remember,
            filtered=frozenset(require_partition_filter),
            read_only=frozenset(read_only),
        )
        self._http = _Http((_HOST, port), self)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """`http://127.0.0.1:PORT`, for BIGQUERY_EMULATOR_HOST."""
        return f"http://{_HOST}:{self._http.server_port}"

    @property
    def bytes_processed(self) -> int:
        """By all jobs that succeeded, as estimated in `tests.bigquery_server.scans`."""
        return self._api.jobs.processed

    @property
    def bytes_billed(self) -> int:
        return self._api.jobs.billed

    def count(self, method: str | None = None) -> int:
        """How many requests came, of a method such as `jobs.insert` or of all."""
        with self._came:
            return self._counts.total() if method is None else self._counts[method]

    def wait_for(self, method: str, *, count: int = 1, seconds: float = 10.0) -> bool:
        """Wait until `count` requests of `method` have come. Whether they have."""
        with self._came:
            return self._came.wait_for(lambda: self._counts[method] >= count, seconds)

    def fail(self, fault: Fault, *, on: str | None = None, times: int = 1) -> None:
        """Let the next `times` requests meet `fault`; `on` a method, or on any."""
        self._faults.add(fault, method=on, times=times)

    def heal(self) -> None:
        """Forget the faults that still wait."""
        self._faults.clear()

    def hold(self, *, pending: bool = False) -> None:
        """Let jobs stay RUNNING, or PENDING, until `release`."""
        self._api.jobs.hold(pending=pending)

    def release(self) -> None:
        self._api.jobs.release()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()  # or a request that waits for a held job would outlive us by 10 s
        self._http.shutdown()
        self._http.hang_up()
        self._http.server_close()
        self._thread.join()
        if self.unknown and not self.expect_unknown and error is None:
            asked = "; ".join(self.unknown)
            raise AssertionError(f"This server was asked what it does not know: {asked}")

    def answer(self, request: Request, warehouse: ServedWarehouse) -> Json:
        """One request's answer. Raises `ApiError`."""
        with self._came:
            self.requests.append(request)
            self._counts[request.method] += 1
            self._came.notify_all()
        if request.method is None:
            asked = f"{request.verb} {request.path}"
            self._remember(asked)
            raise ApiError("notImplemented", f"This server does not know {asked}")
        text = statement_of(request.body.get("configuration", {}))
        self._faults.take(request.method, text=text)
        try:
            answer = self._api.answer(request, warehouse)
        except ApiError as error:
            if error.status == 501:
                self._remember(error.message)
            raise
        self._faults.take(request.method, text=text, after=True)
        if "rows" in answer:
            return spoilt(answer, self._faults.spoil(request.method))
        return answer

    def _remember(self, what: str) -> None:
        if what not in self.unknown:
            self.unknown.append(what)


class _Http(ThreadingHTTPServer):
    # Threads that are still in DuckDB when Python ends take the process down with them.
    daemon_threads = False

    def __init__(self, address: tuple[str, int], server: BigQueryServer) -> None:
        super().__init__(address, _Handler)
        self.bigquery = server
        self._open: set[Any] = set()
        self.idle: list[ServedWarehouse] = []
        """Those of connections that have ended: to open one costs more than most answers."""

    def warehouse(self) -> ServedWarehouse:
        """One for a connection, of its own as long as it lasts."""
        with suppress(IndexError):
            return self.idle.pop()
        warehouse = ServedWarehouse(self.bigquery.folder)
        warehouse.shown = self.bigquery.shown
        warehouse.by_hour = self.bigquery.by_hour
        return warehouse

    def server_close(self) -> None:
        super().server_close()  # waits for the threads of its connections
        while self.idle:
            self.idle.pop().close()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End every connection; an idle one would be kept alive."""
        for connection in list(self._open):
            with suppress(OSError):  # it has just ended
                connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """One connection, in its own thread, hence with its own warehouse."""

    protocol_version = "HTTP/1.1"  # the client keeps its connection
    # An answer is two segments: else the second waits until the client acknowledges the first,
    # 40 ms later.
    disable_nagle_algorithm = True
    server: _Http

    def setup(self) -> None:
        super().setup()
        self._warehouse = self.server.warehouse()

    def finish(self) -> None:
        self.server.idle.append(self._warehouse)
        super().finish()

    def do_GET(self) -> None:
        self._serve()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def _serve(self) -> None:
        split = urlsplit(self.path)
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            body = json.loads(content) if content else {}
        except ValueError:
            body = {}
        request = Request.read(self.command, split.path, dict(parse_qsl(split.query)), body)
        try:
            self._send(200, self.server.bigquery.answer(request, self._warehouse))
        except ApiError as error:
            self._refuse(error)
        except Exception as error:
            # A mistake of this server: said aloud, and no reason that a client would retry.
            self.server.bigquery.unknown.append(f"{type(error).__name__}: {error}")
            self._refuse(ApiError("notImplemented", f"{type(error).__name__}: {error}"))

    def _refuse(self, error: ApiError) -> None:
        if error.is_cut:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b'{"kind": "bigquery#')
            self.wfile.flush()
            self.close_connection = True
            return
        if error.status == 413:  # comes from Google's front end, as a page
            self._send_bytes(
                413,
                "text/html; charset=UTF-8",
                f"<!DOCTYPE html><html lang=en><title>Error 413</title><p><b>413.</b> "
                f"{error.message}</html>".encode(),
            )
            return
        one = {"message": error.message, "domain": "global", "reason": error.reason}
        self._send(
            error.status,
            {"error": {"code": error.status, "message": error.message, "errors": [one]}},
        )

    def _send(self, status: int, body: Json) -> None:
        self._send_bytes(status, "application/json; charset=UTF-8", json.dumps(body).encode())

    def _send_bytes(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        try:
            self.wfile.write(content)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the client went away, as a cancelled one does

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: `BigQueryServer.requests` is the record."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.bigquery_server.rest", description=__doc__
    )
    parser.add_argument("--folder", required=True, help="the local warehouse's folder")
    parser.add_argument("--port", type=int, default=0, help="0 picks a free one")
    parser.add_argument(
        "--require-partition-filter",
        action="append",
        default=[],
        metavar="DATASET.TABLE",
        help="refuse queries of this table without a constant filter; can be repeated",
    )
    given = parser.parse_args(arguments)
    with BigQueryServer(
        given.folder,
        port=given.port,
        require_partition_filter=given.require_partition_filter,
        expect_unknown=True,
    ) as server:
        print(server.url, flush=True)
        with suppress(KeyboardInterrupt):
            threading.Event().wait()


if __name__ == "__main__":
    main()
