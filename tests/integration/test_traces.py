"""Traces and JSON logs: what a collector is sent of a run, and what a line of a log says."""

from __future__ import annotations

import io
import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from planner.settings import LogFormat, Settings
from sql.bigquery import BigQueryWarehouse
from sql.local import LocalWarehouse
from sql.together import together
from sql.tracing import span, traceparent
from tests.bigquery_server.rest import BigQueryServer
from tests.integration.bench import Bench
from tests.integration.service import Service, served
from tests.integration.shop import RUN, Shop, day, lose_what_is_written
from worker.app import _as_json
from worker.finalization.finalize import finalize
from worker.processes import logs, tracing
from worker.processes.tracing import _made, run_ids, step_span, write_run_span
from worker.runners.client import open_client
from worker.step.errors import Requeue


@dataclass(kw_only=True)
class Collector:
    """What takes spans over HTTP, as a collector of OpenTelemetry does."""

    url: str = ""
    spans: list[Any] = field(default_factory=list)

    def named(self, name: str) -> list[Any]:
        provider = tracing._made(os.getpid())
        assert provider is not None
        provider.force_flush()
        return [each for each in self.spans if each.name == name]


@pytest.fixture(scope="module")
def collecting() -> Iterator[Collector]:
    """One for the module: a process has one provider for good."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers["Content-Length"]))
            for resource in ExportTraceServiceRequest.FromString(raw).resource_spans:
                for scope in resource.scope_spans:
                    collector.spans.extend(scope.spans)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}).start()
        collector.url = f"http://127.0.0.1:{server.server_port}"
        yield collector
        server.shutdown()


@pytest.fixture
def collector(collecting: Collector, monkeypatch: pytest.MonkeyPatch) -> Collector:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collecting.url)
    collecting.spans.clear()
    return collecting


def told(found: Any) -> dict[str, Any]:
    """A span's attributes."""
    return {
        each.key: each.value.string_value
        or each.value.int_value
        or [part.string_value for part in each.value.array_value.values]
        for each in found.attributes
    }


def test_a_run_is_a_trace_and_every_attempt_a_span_of_it(
    shop: Shop, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a run whose first attempt at a step fails
    shop.lose_sessions(day(4))
    steps = shop.register(shop.plan())
    with monkeypatch.context() as patched:
        lose_what_is_written(patched, day(4))
        with pytest.raises(Requeue):
            shop.visit(f"{day(4)}/sessionise")

    # When it is repaired to its end
    shop.visit(f"{day(4)}/sessionise")
    for step in steps:
        if step != f"{day(4)}/sessionise":
            shop.visit(step)
    finalize(shop.context, RUN)

    # Then its attempts lie in the run's span, whose ids follow from the run's
    (run,) = collector.named("run")
    first, second = collector.named("sessionise")
    ids = (int.from_bytes(run.trace_id, "big"), int.from_bytes(run.span_id, "big"))
    assert ids == run_ids(RUN, 0)
    for each in (first, second, *collector.named("aggregate")):
        assert (each.trace_id, each.parent_span_id) == (run.trace_id, run.span_id)
        assert run.start_time_unix_nano <= each.start_time_unix_nano
        assert each.end_time_unix_nano <= run.end_time_unix_nano
    assert "sessions holds 0 of" in first.status.message
    assert first.status.code == 2
    assert second.status.code == 0
    assert told(second) == {
        "backfill.run": RUN,
        "backfill.step": f"{day(4)}/sessionise",
        "backfill.phase": "sessionise",
        "backfill.pipeline": "sales",
        "backfill.dates": [str(day(4))],
        "backfill.attempt": 2,
    }
    assert told(run) == {
        "backfill.run": RUN,
        "backfill.pipeline": "sales",
        "backfill.state": "complete",
    }


def test_a_script_is_told_its_span_and_so_is_a_service(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WAREHOUSE_PLACE", str(tmp_path / "warehouse"))
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    bench = Bench(place=tmp_path)
    runner = (
        '[[phases.runners]]\nkind = "script"\ncommand = ["sh", "-c", "echo it is $TRACEPARENT"]\n'
    )
    service = Service(start=lambda call: (200, {}), status=lambda call: (200, {}))

    # When they are part of a step
    with step_span("run-1", 0, "facts", {}), served(service), open_client(service.url) as client:
        bench.attempt(runner)
        client.get("/status")
        here = traceparent()

    # Then the script has its own span as parent, and the service the step's
    (script,) = collector.named("script")
    assert f"it is 00-{script.trace_id.hex()}-{script.span_id.hex()}-01" in bench.log
    assert told(script) == {"backfill.command": "sh"}
    assert service.calls[0].headers["traceparent"] == here

    # And without a step neither is told anything
    bench.attempt(runner)
    assert bench.log.rstrip().endswith("it is")


def test_jobs_of_bigquery_are_spans_of_their_step(
    collector: Collector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = LocalWarehouse(tmp_path)
    local.run("CREATE TABLE raw.games (d DATE, game_id STRING) PARTITION BY d", {})
    count = "SELECT COUNT(*) AS n FROM raw.games WHERE d = @d"
    with BigQueryServer(tmp_path, wait_seconds=0.05) as server:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.url)
        warehouse = BigQueryWarehouse("p", retry_seconds=5)

        def ask(number: int) -> object:
            return warehouse.rows(count, {"d": date(2024, 1, number)})

        with step_span("run-1", 0, "facts", {}):
            together(ask, [1, 2], at_once=2, cancel=warehouse.cancel)
        warehouse.close()
    local.close()

    (step,) = collector.named("facts")
    jobs = collector.named("bigquery.job")
    assert [job.parent_span_id for job in jobs] == [step.span_id] * 2
    assert all(told(job)["backfill.job"] for job in jobs)


AWAY = """
import os, time
from worker.processes.tracing import _made, step_span, write_run_span
began = time.monotonic()
with step_span("run-1", 0, "facts", {}) as failed:
    failed("why")
write_run_span("run-1", 0, {}, began=1.0, ended=2.0)
print(time.monotonic() - began < 5)
_made(os.getpid()).shutdown()
print(time.monotonic() - began < 10)
"""


@pytest.mark.slow
@pytest.mark.parametrize("answers", ["nothing listens", "nothing answers"])
def test_a_collector_that_is_away_holds_up_neither_a_step_nor_a_worker_that_stops(
    answers: str,
) -> None:
    # Given an address where nothing takes spans, in a process of its own
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if answers == "nothing listens":
            server.close()
        done = subprocess.run(
            [sys.executable, "-c", AWAY],
            env={**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}"},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stdout.split()) == (0, ["True", "True"]), done.stderr


def test_without_an_address_nothing_is_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    with step_span("run-1", 0, "facts", {}) as failed, span("script"):
        failed("no trace is kept")
        assert traceparent() == ""


FORGED = '{"level": "ERROR", "message": "forged"}'


@pytest.mark.parametrize(
    "end", ["\n", "\r", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029", "\ud800", '"}\n']
)
def test_no_text_forges_a_line_of_a_json_log(end: str) -> None:
    logs.tell_of(phase=f"facts{end}{FORGED}")
    record = logging.LogRecord("x", logging.INFO, "x", 1, f"a{end}{FORGED}", (), None)
    try:
        line = logs.JsonLines().format(record)
    finally:
        logs._forget()

    line.encode()
    (only,) = line.splitlines()
    assert json.loads(only)["level"] == "INFO"


SETTINGS = {
    "OTEL_BSP_MAX_QUEUE_SIZE": "-1",
    "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "-5",
    "OTEL_EXPORTER_OTLP_TIMEOUT": "soon",
    "OTEL_EXPORTER_OTLP_CERTIFICATE": "/nowhere",
}


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_of_opentelemetry_without_sense_fails_no_step(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv(name, SETTINGS[name])
    _made.cache_clear()
    monkeypatch.setattr("opentelemetry.trace.set_tracer_provider", lambda provider: None)
    done = []
    try:
        for _ in range(2):
            with step_span("run-1", 0, "facts", {}):
                done.append(1)
            write_run_span("run-1", 0, {}, began=1.0, ended=2.0)
    finally:
        _made.cache_clear()

    assert done == [1, 1]
    if SETTINGS[name].startswith("-"):
        assert caplog.text.count("nothing is traced") == 1


def test_a_line_of_a_json_log_says_what_it_is_of(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a worker that logs as JSON, and a secret
    monkeypatch.setenv("API_TOKEN", "do-not-show-this")
    stream = io.StringIO()
    logger = logging.Logger("worker.test")
    logger.addHandler(logging.StreamHandler(stream))
    _as_json(logger)
    shop.lose_sessions(day(4))
    shop.register(shop.plan())

    # When it has visited a step, and says something of it
    shop.visit(f"{day(4)}/sessionise")
    try:
        raise ValueError("with do-not-show-this")
    except ValueError:
        logger.exception("it failed\nwith do-not-show-this")
    logs._forget()
    logger.info("of nothing")

    first, second = map(json.loads, stream.getvalue().splitlines())
    about = {"run": RUN, "step": f"{day(4)}/sessionise", "phase": "sessionise"}
    assert first.items() >= {**about, "level": "ERROR", "logger": "worker.test"}.items()
    assert first["dates"] == [str(day(4))]
    assert "do-not-show-this" not in stream.getvalue()
    assert "ValueError" in first["traceback"]
    assert "run" not in second
    assert Settings(_env_file=None, log_format="json").log_format is LogFormat.JSON  # type: ignore[call-arg]
