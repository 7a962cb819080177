"""One deadline over the whole of a request, which httpx does not have.

Its time-outs are for each read of the socket: a service that sends a header byte by byte, or
interim answers (1xx) without end, is waited for without end. Here every operation on the socket
gets what is left until the deadline. Depends on private parts of httpx: tests of slow services fail
when they change.
"""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from contextvars import copy_context
from typing import Any, TypeVar

import httpcore
import httpx

T = TypeVar("T")
STOP_LOOK_SECONDS = 0.1  # how soon a reason to stop is noticed while there is no answer


class StoppedWaiting(Exception):
    """What was asked for is not waited for any more, for this reason."""


def within(
    seconds: float, ask: Callable[[], T], *, stop: Callable[[], str | None] = lambda: None
) -> T:
    """What `ask` returns or raises. Raises `httpx.ReadTimeout` when it takes longer, and
    `StoppedWaiting` when there is a reason to stop.

    It runs in a thread, which is abandoned then, and has to end by itself: closing a socket that
    another thread reads from does not end a request, and looking up a name has no time-out.
    """
    answer: Future[T] = Future()

    def run() -> None:
        try:
            answer.set_result(ask())
        except BaseException as error:
            answer.set_exception(error)

    here = copy_context()  # of which trace it is part
    threading.Thread(target=here.run, args=(run,), name="request", daemon=True).start()
    deadline = time.monotonic() + seconds
    while not wait([answer], timeout=min(STOP_LOOK_SECONDS, seconds)).done:
        why = stop()
        if why is not None:
            raise StoppedWaiting(why)
        if time.monotonic() > deadline:
            raise httpx.ReadTimeout(f"no whole answer within {seconds:g} s")
    return answer.result()


class DeadlineClient(httpx.Client):
    """A client whose time-outs are for the whole of a request, from when its token is there."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        requested = [*self.event_hooks["request"], self._begin]
        self.event_hooks = {**self.event_hooks, "request": requested}
        self._clock = _Clock()
        for transport in {self._transport, *self._mounts.values()}:
            if isinstance(transport, httpx.HTTPTransport):
                pool: Any = transport._pool
                pool._network_backend = _Backend(pool._network_backend, self._clock)

    def _begin(self, request: httpx.Request) -> None:
        seconds = request.extensions.get("timeout", {}).get("read")
        self._clock.deadline = time.monotonic() + (float("inf") if seconds is None else seconds)


class _Clock:
    """When the request that goes on has to be over."""

    deadline = float("inf")

    def left(self, seconds: float | None, late: type[Exception]) -> float | None:
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise late("no whole answer before its deadline")
        return seconds if left == float("inf") else min(left, seconds or left)


class _Backend(httpcore.NetworkBackend):
    """Opens connections that keep to the deadline."""

    def __init__(self, inner: httpcore.NetworkBackend, clock: _Clock) -> None:
        self._inner, self._clock = inner, clock

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        timeout = self._clock.left(timeout, httpcore.ConnectTimeout)
        stream = self._inner.connect_tcp(host, port, timeout, local_address, socket_options)
        return _Stream(stream, self._clock)

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)


class _Stream(httpcore.NetworkStream):
    """A connection each of whose operations keeps to the deadline."""

    def __init__(self, inner: httpcore.NetworkStream, clock: _Clock) -> None:
        self._inner, self._clock = inner, clock

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._clock.left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._clock.left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        timeout = self._clock.left(timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, timeout), self._clock)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
