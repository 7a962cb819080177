"""Spans below the one that is current, for OpenTelemetry; nothing where there is none.

Only a worker that is told where its traces go begins one (`worker.processes.tracing`). Elsewhere a
span costs a look into a dictionary.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

TRACER = "backfill"
NOTHING: Mapping[str, Any] = {}


def _tracing() -> Any:
    """OpenTelemetry's module when a span is current, else None. It is not imported for that."""
    trace = sys.modules.get("opentelemetry.trace")
    is_current = trace is not None and trace.get_current_span().get_span_context().is_valid
    return trace if is_current else None


@contextmanager
def span(name: str, attributes: Mapping[str, Any] = NOTHING) -> Iterator[None]:
    """A span while the block runs. Of an error it has the type only: its text may hold a secret."""
    trace = _tracing()
    if trace is None:
        yield
        return
    with trace.get_tracer(TRACER).start_as_current_span(
        name, attributes=attributes, record_exception=False, set_status_on_exception=False
    ) as current:
        try:
            yield
        except BaseException as error:
            current.set_status(trace.Status(trace.StatusCode.ERROR, type(error).__name__))
            raise


def traceparent() -> str:
    """The current span as W3C's `traceparent` says it; empty without one."""
    trace = _tracing()
    if trace is None:
        return ""
    context = trace.get_current_span().get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
