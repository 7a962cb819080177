"""How many connections there may be, and how long one may be open without asking for anything.

A client that opens connections and sends nothing, or does not read its answers, must not keep
others out: at the limit, the connection that has been idle longest is closed for the new one.
"""

from __future__ import annotations

import asyncio
import resource
from typing import ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_SECONDS = 10.0  # for a whole request; uvicorn has a limit between two requests alone
CONNECTIONS_MAX = 2000  # twice as many as listen to events: a page needs one more to be opened
BACKLOG = 64  # connections that are taken in one turn of the event loop
SPARE_FILES = 64 + 6 * BACKLOG
"""For Redis and the warehouse, and for connections that are taken and not counted yet."""


class Patient(H11Protocol):
    """Closes connections whose request does not come whole, or whose answer is not read."""

    most: ClassVar[int] = CONNECTIONS_MAX
    _seen: object = None
    _unread: tuple[object, int] = (None, 0)
    _since = 0.0
    _is_aborted = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Make room for it, and look from now on, as long as it is open."""
        super().connection_made(transport)
        self._since = self.loop.time()
        if len(self.connections) > self.most:
            self._longest_waiting()._abort()
        self._look_later()

    def on_response_complete(self) -> None:
        """From now on it waits for its reader's next request."""
        super().on_response_complete()
        self._since = self.loop.time()

    @property
    def _is_waiting(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _longest_waiting(self) -> Patient:
        """Of all connections, itself if all others are being answered."""
        others = (each for each in self.connections if isinstance(each, Patient))
        waiting = (each for each in others if each._is_waiting and not each._is_aborted)
        return min(waiting, key=lambda each: each._since, default=self)

    def _look_later(self) -> None:
        self.loop.call_later(REQUEST_SECONDS, self._look)

    def _look(self) -> None:
        unread = self.transport.get_write_buffer_size()
        if self.transport.is_closing() and not unread:
            return
        if unread and (self.cycle, unread) == self._unread:  # nothing was read since
            self._abort()
            return
        if self._is_waiting and self.cycle is self._seen:  # nothing was asked for since
            self.transport.close()  # when all is read
        self._seen, self._unread = self.cycle, (self.cycle, unread)
        self._look_later()

    def _abort(self) -> None:
        self._is_aborted = True
        self.transport.abort()


def patient(most: int) -> type[Patient]:
    """For a server that may have so many connections."""
    return type("Patient", (Patient,), {"most": most})


def room() -> int:
    """How many connections this process may have, when it may open all the files that it can."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS_MAX + SPARE_FILES
    if soft != resource.RLIM_INFINITY and soft < wanted:
        soft = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY:
        return CONNECTIONS_MAX
    return max(2, min(CONNECTIONS_MAX, soft - SPARE_FILES))
