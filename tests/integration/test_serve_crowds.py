"""`planner serve` with more connections than it can have: readers get their answers."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import httpx
import pytest
import uvicorn
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.types import ASGIApp

from planner.sandbox.workers import environment_of
from tests.integration.served import served
from tests.integration.shop import Shop
from tests.waiting import until
from worker.serve import patience
from worker.serve.app import make_app
from worker.serve.patience import patient

MOST = 20
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
DRIP = b"GET / HTTP/1.1\r\nX: "


@contextmanager
def serving(app: ASGIApp) -> Iterator[tuple[tuple[str, int], uvicorn.Server]]:
    """A real server of an app that may have `MOST` connections, and its address."""
    config = uvicorn.Config(app, http=patient(MOST), lifespan="off", log_level="warning")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield listening.getsockname(), server
        finally:
            server.should_exit = server.force_exit = True
            thread.join()


def is_closed(connection: socket.socket) -> bool:
    connection.settimeout(0.01)
    try:
        return not connection.recv(65_536)
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def connected(
    stack: ExitStack, at: tuple[str, int], count: int, said: bytes
) -> list[socket.socket]:
    found = []
    for _ in range(count):
        connection = stack.enter_context(socket.create_connection(at, timeout=5))
        connection.sendall(said)
        found.append(connection)
    return found


@pytest.mark.parametrize("said", [b"", DRIP, GET], ids=["silent", "drips", "stays after an answer"])
def test_who_waits_longest_gives_way_to_who_comes(said: bytes) -> None:
    with serving(PlainTextResponse("told")) as (at, _), ExitStack() as stack:
        idle = connected(stack, at, 3 * MOST, said)

        answers = [httpx.get(f"http://{at[0]}:{at[1]}/", timeout=5) for _ in range(3)]

        assert [answer.text for answer in answers] == ["told"] * 3
        until(lambda: sum(not is_closed(each) for each in idle) <= MOST)
        if said != GET:  # whose answer is still to be read
            assert is_closed(idle[0])
            assert not is_closed(idle[-1])


def test_who_is_answered_keeps_the_connection() -> None:
    """As listeners to events do: of more than there is room for, the last is sent away."""
    asked = 0

    async def never() -> Iterator[bytes]:  # type: ignore[misc]
        nonlocal asked
        asked += 1
        yield b"first"
        await asyncio.sleep(60)

    async def app(scope, receive, send):  # type: ignore[no-untyped-def]
        await StreamingResponse(never())(scope, receive, send)

    with serving(app) as (at, _), ExitStack() as stack:
        listeners = connected(stack, at, MOST, GET)
        until(lambda: asked == MOST)
        for each in listeners:
            assert each.recv(65_536)

        (late,) = connected(stack, at, 1, b"")

        until(lambda: is_closed(late))
        assert not any(is_closed(each) for each in listeners)


def test_who_does_not_read_the_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "REQUEST_SECONDS", 0.3)
    with serving(PlainTextResponse(b"x" * 30_000_000)) as (at, server), ExitStack() as stack:
        connected(stack, at, 1, GET)

        until(lambda: server.server_state.total_requests == 1)
        until(lambda: not server.server_state.connections)


def test_who_reads_slowly_gets_the_whole_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "REQUEST_SECONDS", 0.3)
    size = 30_000_000
    with serving(PlainTextResponse(b"x" * size)) as (at, _), ExitStack() as stack:
        (reader,) = connected(stack, at, 1, GET)
        got, looks = 0, time.monotonic() + 4 * patience.REQUEST_SECONDS
        while block := reader.recv(1_000_000 if time.monotonic() > looks else 10_000):
            got += len(block)

    assert got > size


def test_half_of_the_connections_may_listen(shop: Shop) -> None:
    """The others are for pages, and for who comes."""
    app = make_app(shop.context, None, None, connections=4)
    events = GET.replace(b"GET / ", b"GET /events ")
    with serving(app) as (at, _), ExitStack() as stack:
        for listener in connected(stack, at, 2, events):
            assert listener.recv(65_536).startswith(b"HTTP/1.1 200")

        (late,) = connected(stack, at, 1, events)
        assert late.recv(65_536).startswith(b"HTTP/1.1 503")

        assert httpx.get(f"http://{at[0]}:{at[1]}/", timeout=10).status_code == 200


@pytest.mark.slow
def test_a_thousand_connections_that_say_nothing_keep_no_reader_out(shop: Shop) -> None:
    """Also where the process may open no more than 512 files."""
    environment = environment_of(shop.context.settings)
    with (
        served(environment, shop.context.settings.home, files=512) as url,
        ExitStack() as stack,
    ):
        at = ("127.0.0.1", int(url.rpartition(":")[2]))
        connected(stack, at, 1000, DRIP)

        answers = [httpx.get(url, timeout=10) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200] * 3
