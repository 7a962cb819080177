"""The HTTP client for services, which are not trusted: an answer is read with limits.

Set on each answer before any of it is read, so that they hold for whoever reads it, a proxy or a
second try with a new token included.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx

ANSWER_BYTES = 1_000_000  # the real service's answers are below 10 kB
ANSWER_SECONDS = 60.0  # for all of a body: an answer that drips never ends by itself


def open_client(url: str, *, auth: httpx.Auth | None = None, seconds: float = 30.0) -> httpx.Client:
    """A client whose requests wait `seconds` for each part of an answer, unless told otherwise.

    Its requests raise `httpx.HTTPError` for an answer that is too large, too slow, or compressed,
    because a small one may be huge inside.
    """
    return httpx.Client(
        base_url=url,
        auth=auth,
        timeout=seconds,
        headers={"Accept-Encoding": "identity"},
        event_hooks={"response": [_limit]},
    )


def _limit(response: httpx.Response) -> None:
    if response.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise httpx.DecodingError("the answer is compressed, though nobody asked for that")
    if isinstance(response.stream, httpx.SyncByteStream):
        response.stream = _Limited(response.stream)


class _Limited(httpx.SyncByteStream):
    """A body that ends with an error when it goes on for too long."""

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
