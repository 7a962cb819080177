"""The HTTP client for services, which are not trusted: an answer is read with limits.

The limits are set on each answer before any of it is read, so that they hold for every reader: a
proxy's answer, and a second request with a new token, included.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from functools import cache

import httpx

from sql.tracing import traceparent
from worker.runners.deadline import DeadlineClient

ANSWER_BYTES = 1_000_000  # the real service's answers are below 10 kB
ANSWER_SECONDS = 60.0  # for a whole body, also of a start that may take longer


def open_client(url: str, *, auth: httpx.Auth | None = None, seconds: float = 30.0) -> httpx.Client:
    """A client whose requests take `seconds` in all, unless told otherwise.

    Its requests raise `httpx.HTTPError` for an answer that is too large, too slow, or compressed,
    because a small one may be huge inside.
    """
    return DeadlineClient(
        base_url=url,
        verify=_trusted(),
        auth=auth,
        timeout=seconds,
        headers={"Accept-Encoding": "identity"},
        event_hooks={"request": [_trace], "response": [_limit]},
    )


def _trace(request: httpx.Request) -> None:
    """Tell a service that traces whose trace it is part of."""
    if parent := traceparent():
        request.headers["traceparent"] = parent


@cache
def _trusted() -> ssl.SSLContext:
    """Who may vouch for a service, read once per process: reading takes 24 ms."""
    return httpx.create_ssl_context()


def _limit(response: httpx.Response) -> None:
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise httpx.DecodingError("the answer is compressed, which was not asked for")
    if isinstance(response.stream, httpx.SyncByteStream):
        response.stream = _Limited(response.stream)


class _Limited(httpx.SyncByteStream):
    """A body that raises an error when it is too large, or takes too long."""

    def __init__(self, body: httpx.SyncByteStream) -> None:
        self._body = body

    def __iter__(self) -> Iterator[bytes]:
        left, deadline = ANSWER_BYTES, time.monotonic() + ANSWER_SECONDS
        for part in self._body:
            left -= len(part)
            if left < 0:
                raise httpx.RemoteProtocolError(f"the answer is larger than {ANSWER_BYTES} bytes")
            if time.monotonic() > deadline:
                raise httpx.ReadTimeout(f"the answer takes longer than {ANSWER_SECONDS:g} s")
            yield part

    def close(self) -> None:
        self._body.close()
