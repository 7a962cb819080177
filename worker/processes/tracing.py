"""Traces for OpenTelemetry: a run is a trace, and each attempt at a step a span of it.

On where `OTEL_EXPORTER_OTLP_ENDPOINT` says where they go; the other `OTEL_…` variables hold as
well. The ids of a run's trace follow from the run's id: no message carries them, and any worker can
add to it. The run's own span is written at its end. Spans are sent by a thread: no step waits for
them, and none fails when they are lost.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from celery import signals

from sql.tracing import TRACER
from worker.processes.secrets import redacted

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

log = logging.getLogger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
SEND_MILLISECONDS = 1000  # spans wait for others so long: a killed worker's last ones are lost
TIMEOUT = "OTEL_EXPORTER_OTLP_TIMEOUT"
SEND_SECONDS = 3  # unless TIMEOUT says otherwise: so long, twice, a worker that stops may wait
SERVICE = "backfill-fleet"
NANOSECONDS = 1_000_000_000
Failed = Callable[[str], None]


def run_ids(run_id: str, endings: int) -> tuple[int, int]:
    """Trace and span of a run; each time it is retried it is another."""
    digest = hashlib.sha256(f"{run_id}/{endings}".encode()).digest()
    return int.from_bytes(digest[:16], "big"), int.from_bytes(digest[16:24], "big")


@contextmanager
def step_span(
    run_id: str, endings: int, name: str, attributes: Mapping[str, Any]
) -> Iterator[Failed]:
    """A span of a run's trace while the block runs. It yields what says that it failed, and why."""
    provider = _provider()
    if provider is None:
        yield lambda why: None
        return
    from opentelemetry import trace

    trace_id, span_id = run_ids(run_id, endings)
    parent = trace.set_span_in_context(
        trace.NonRecordingSpan(
            trace.SpanContext(
                trace_id,
                span_id,
                is_remote=True,
                trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
            )
        )
    )
    with provider.get_tracer(TRACER).start_as_current_span(
        name, context=parent, attributes=attributes, record_exception=False
    ) as current:
        yield lambda why: current.set_status(trace.Status(trace.StatusCode.ERROR, why))


def write_run_span(
    run_id: str, endings: int, attributes: Mapping[str, Any], *, began: float, ended: float
) -> None:
    """Write the span of a run that has ended; seconds since the epoch."""
    provider = _provider()
    if provider is None:
        return
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace.id_generator import IdGenerator

    trace_id, span_id = run_ids(run_id, endings)

    class Ids(IdGenerator):
        """Those of the run."""

        def generate_trace_id(self) -> int:
            return trace_id

        def generate_span_id(self) -> int:
            return span_id

    tracer: Any = provider.get_tracer(f"{TRACER}.run")
    tracer.id_generator = Ids()
    start = int(began * NANOSECONDS)
    span = tracer.start_span("run", context=Context(), attributes=attributes, start_time=start)
    span.end(int(ended * NANOSECONDS))


def _provider() -> TracerProvider | None:
    """This process' provider; None where nothing is to be traced."""
    is_wanted = any(os.environ.get(name) for name in ENDPOINTS)
    return _made(os.getpid()) if is_wanted else None


@cache
def _made(pid: int) -> TracerProvider | None:
    """Made once per process, and never across a fork: it sends from a thread."""
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.warning(
            "%s is set, and OpenTelemetry is not installed: pip install 'backfill-fleet[otel]'",
            next(name for name in ENDPOINTS if os.environ.get(name)),
        )
        return None
    try:
        name = os.environ.get("OTEL_SERVICE_NAME", SERVICE)
        provider = TracerProvider(resource=Resource.create({SERVICE_NAME: name}))
        exporter = OTLPSpanExporter(timeout=None if TIMEOUT in os.environ else SEND_SECONDS)
        provider.add_span_processor(
            BatchSpanProcessor(exporter, schedule_delay_millis=SEND_MILLISECONDS)
        )
    except Exception as error:
        why = redacted(f"{type(error).__name__}: {error}")
        log.warning("nothing is traced, correct the variables OTEL_…: %s", why)
        return None
    trace.set_tracer_provider(provider)
    signals.worker_process_shutdown.connect(lambda **ignored: provider.shutdown(), weak=False)
    return provider
