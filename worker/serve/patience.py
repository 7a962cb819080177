"""How long a connection may be open without asking for anything."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.h11_impl import H11Protocol

REQUEST_SECONDS = 10.0  # for a whole request; uvicorn has a limit between two requests alone


class Patient(H11Protocol):
    """Closes connections whose request does not come whole, however slowly it drips."""

    _seen: object = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Look from now on, as long as it is open."""
        super().connection_made(transport)
        self._look_later()

    def _look_later(self) -> None:
        self.loop.call_later(REQUEST_SECONDS, self._look)

    def _look(self) -> None:
        if self.transport.is_closing():
            return
        answered = self.cycle is None or self.cycle.response_complete
        if answered and self.cycle is self._seen:  # nothing was asked for since the last look
            self.transport.close()
            return
        self._seen = self.cycle
        self._look_later()
