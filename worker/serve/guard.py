"""Who may read, and by which means: a password, this machine's names, and GET alone."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from ipaddress import ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

METHODS = ("GET", "HEAD")
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def is_loopback(host: str) -> bool:
    """Whether an address is one that this machine alone can reach."""
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class Guard:
    """Lets through what may be answered, and gives every answer the headers above.

    Without a password, a page of another site must not read through a name of its own that it
    points at this machine (DNS rebinding): the name that is asked for has to be this machine's.
    """

    def __init__(self, app: ASGIApp, password: str | None) -> None:
        self._app = app
        self._digest = None if password is None else _digest(password.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or let the app do it."""
        if scope["type"] != "http":
            return  # a web socket: closed without an answer
        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, _with_headers(send))

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        if scope["method"] not in METHODS:
            allow = {"Allow": ", ".join(METHODS)}
            return PlainTextResponse("This page can be read, and nothing else.\n", 405, allow)
        if self._digest is not None and not self._is_known(headers.get("authorization", "")):
            ask = {"WWW-Authenticate": 'Basic realm="backfill", charset="UTF-8"'}
            return PlainTextResponse("The password, with any name.\n", 401, ask)
        if self._digest is None and not is_loopback(_host(headers.get("host", ""))):
            return PlainTextResponse("Ask for it as localhost or 127.0.0.1.\n", 421)
        return None

    def _is_known(self, authorization: str) -> bool:
        kind, _, told = authorization.partition(" ")
        try:
            pair = base64.b64decode(told, validate=True) if kind.lower() == "basic" else b""
        except (binascii.Error, ValueError):
            pair = b""
        given = pair.partition(b":")[2]
        # Digests are of one length, so that time tells nothing of the password's either.
        return hmac.compare_digest(_digest(given), self._digest or b"")


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()


def _host(header: str) -> str:
    """`127.0.0.1` of `127.0.0.1:9465`, `[::1]` of `[::1]:9465`."""
    name, colon, port = header.rpartition(":")
    return name if colon and port.isdigit() else header


def _with_headers(send: Send) -> Send:
    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return send_with_headers
