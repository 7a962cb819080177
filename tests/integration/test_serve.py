"""`planner serve`: what it answers and refuses, over a real Redis."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
import uvicorn
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp

from planner.errors import UsageError
from planner.plan.states import RunState
from planner.report.html.moment import CODES
from planner.report.html.render import ALL_RUNS, render_page
from planner.report.html.states import Live
from planner.report.report import Report
from planner.sandbox.workers import environment_of
from planner.settings import load_settings
from sql.errors import WarehouseRefused
from sql.local import LocalWarehouse
from tests.commands import planner
from tests.integration.ledgers import end
from tests.integration.served import served
from tests.integration.shop import EVE, LAST, RUN, Shop, day, drain, lose_what_is_written
from tests.waiting import until
from worker.finalization.finalize import finalize
from worker.serve import patience
from worker.serve.app import make_app
from worker.serve.gaps import OpenGaps
from worker.serve.index_look import IndexLook
from worker.serve.patience import Patient
from worker.serve.reader import BOOT, Reader
from worker.serve.run_look import RunLook
from worker.step.errors import Requeue

READERS = 200
SECONDS = 6.0  # in which commands are counted
PASSWORD = "correct horse battery"


@dataclass(frozen=True, kw_only=True)
class Site:
    """The app, as a browser on this machine asks it."""

    app: ASGIApp

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        async def main() -> httpx.Response:
            transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
            base = "http://127.0.0.1:9465"
            async with httpx.AsyncClient(transport=transport, base_url=base) as client:
                return await client.request(method, path, **options)

        return asyncio.run(main())

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)


Open = Callable[..., Site]


@pytest.fixture
def site(shop: Shop) -> Open:
    """Opens the app, as a browser on this machine sees it."""

    def opened(*, gaps: OpenGaps | None = None, password: str | None = None) -> Site:
        return Site(app=make_app(shop.context, gaps, password))

    return opened


@pytest.fixture
def run(shop: Shop) -> list[str]:
    """A run of two dates that goes on."""
    shop.lose_sessions(EVE, LAST)
    return shop.register(shop.plan())


def moment(client: Site) -> dict[str, Any]:
    found: dict[str, Any] = client.get(f"/runs/{RUN}/moment.json").json()
    return found


def cells(found: dict[str, Any]) -> dict[tuple[str, str], Any]:
    return {(phase, iso): row for phase, iso, *row in found["live"]["cells"]}


def test_a_run_is_shown_as_it_goes_on(
    shop: Shop, run: list[str], site: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, at = site(), str(EVE)
    assert cells(moment(client))["sessionise", at] == [None]  # as it was found, and still to do

    # When an attempt fails, what follows it waits, and one ends well
    lose_what_is_written(monkeypatch, EVE)
    with pytest.raises(Requeue):
        shop.visit(f"{at}/sessionise")
    with pytest.raises(Requeue):
        shop.visit(f"{at}/aggregate")
    shop.visit(f"{LAST}/sessionise")

    found = cells(moment(site()))
    assert found["sessionise", at] == [CODES[Live.RETRYING]]
    assert found["aggregate", at] == [CODES[Live.WAITING]]
    assert found["sessionise", str(LAST)][0] == CODES["complete"]
    assert found["sessionise", str(LAST)][1] == found["sessionise", str(LAST)][2] > 0

    live = moment(site())["live"]
    (step,) = [row for row in live["steps"] if row[0] == f"{at}/sessionise"]
    assert step[3:6] == ["pending", 1, "me"]
    assert "attempt 1 of" in step[6]
    assert step[7].endswith(f"/logs/{RUN}/{at}.sessionise.log")
    status = live["status"]
    assert status["steps"]["succeeded"] == 1
    assert status["retrying"][0]["steps"] == [f"{at}/sessionise"]
    assert {each["phase"]: each["succeeded"] for each in status["phases"]}["sessionise"] == 1
    assert (status["estimate"]["planned_seconds"], status["billed"]["dollars"]) == (None, 0.0)


def test_an_ended_run_is_its_report_and_one_without_a_plan_is_none(
    shop: Shop, run: list[str], site: Open
) -> None:
    drain(shop, run)
    finalize(shop.context, RUN)
    client = site()

    page = client.get(f"/runs/{RUN}")
    assert "Backfill report" in page.text
    assert ALL_RUNS in page.text
    assert "connect-src" not in page.headers["content-security-policy"]
    assert moment(client)["moment"] == "after"
    report = Report.model_validate_json(shop.ledger.report(RUN) or "")
    assert ALL_RUNS not in render_page(report)  # a file has no list of runs
    (listed,) = IndexLook(shop.ledger, lambda: None)().status["runs"]
    assert (listed["run_id"], listed["state"]) == (RUN, "complete")
    assert listed["steps_settled"] == listed["steps_total"] == len(run)

    shop.context.redis.delete(f"backfill:run:{RUN}:plan", f"backfill:run:{RUN}:report")
    assert Site(app=make_app(shop.fresh(), None, None)).get(f"/runs/{RUN}").status_code == 404


def test_what_was_not_done_is_told_by_cause(shop: Shop, run: list[str], site: Open) -> None:
    shop.ledger.move(RUN, RunState.PAUSED, [RunState.RUNNING])
    end(shop.ledger, RUN)
    found = RunLook(shop.context, RUN, shop.plan_of(RUN))()

    assert found.is_over
    assert found.status["is_ended"]
    assert found.status["steps"]["cancelled"] == len(run)


def test_nothing_but_reading_is_answered(site: Open) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"):
        for path in ("/", "/events", "/gaps", f"/runs/{RUN}", f"/runs/{RUN}/events", "/x"):
            answer = site().request(method, path)
            assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


NOWHERE = [
    "/runs/run-20260102-k7xq3w",
    "/runs/run-20260102-k7xq3w/moment.json",
    "/runs/run-20260102-k7xq3w/events",
    "/runs/..%2f..%2fetc%2fpasswd",
    "/runs/%00",
    "/runs/<script>",
    "/runs/*",
    "/gaps",
    "/static/page.js",
]


def test_what_is_not_there_is_not_found(site: Open) -> None:
    for path in NOWHERE:
        answer = site().get(path)

        assert answer.status_code == 404, path
        assert "<script>" not in answer.text


def test_every_answer_forbids_what_a_page_does_not_need(run: list[str], site: Open) -> None:
    client = site()
    for path in ("/", f"/runs/{RUN}", f"/runs/{RUN}/moment.json", "/nothing"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'")
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["cache-control"] == "no-store"
        assert headers["x-content-type-options"] == "nosniff"
        assert "server" not in headers


def test_a_request_that_never_comes_whole_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a server, one that drips a header, one that says nothing, and one that drips a second
    monkeypatch.setattr(patience, "REQUEST_SECONDS", 0.3)
    told = PlainTextResponse("told")
    config = uvicorn.Config(told, http=Patient, lifespan="off", log_level="warning")
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        whole, part = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET / HTTP/1.1\r\nX: "
        try:
            for first, drip in ((part, b"x"), (b"", b""), (whole, b"x"), (whole + part, b"x")):
                with socket.create_connection(listening.getsockname(), timeout=5) as connection:
                    assert is_closed_soon(connection, first, drip), first
        finally:
            server.should_exit = True
            thread.join()


def is_closed_soon(connection: socket.socket, first: bytes, drip: bytes) -> bool:
    connection.sendall(first)
    until_when = time.monotonic() + 5
    connection.settimeout(0.05)
    while time.monotonic() < until_when:
        try:
            connection.sendall(drip)
            if not connection.recv(65_536):
                return True
        except TimeoutError:
            continue
        except ConnectionError:
            return True
    return False


REFUSED_WHOLE = {
    "a header of a megabyte": b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 1_000_000,
    "a path of a megabyte": b"GET /" + b"x" * 1_000_000,
    "two lengths": b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    "no name": b"GET / HTTP/1.1\r\n\r\n",
    "two names": b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
    "no HTTP": b"\x16\x03\x01\x00\xff" * 10 + b"\r\n\r\n",
}


def test_what_is_no_request_is_refused_by_the_real_server(shop: Shop, run: list[str]) -> None:
    with served(environment_of(shop.context.settings), shop.context.settings.home) as url:
        port = int(url.rpartition(":")[2])
        for what, text in REFUSED_WHOLE.items():
            with (
                socket.create_connection(("127.0.0.1", port), timeout=5) as connection,
                suppress(ConnectionError),
            ):
                connection.sendall(text)
                answer = connection.recv(65_536)
                assert answer.startswith(b"HTTP/1.1 4"), (what, answer)
        assert httpx.get(url).status_code == 200


@pytest.mark.parametrize("number", ["²", "-1", "9" * 5_000, "1.5", "x\x00"])
def test_an_event_s_id_that_is_none_is_the_first(shop: Shop, run: list[str], number: str) -> None:
    async def first() -> str:
        reader = Reader(IndexLook(shop.context.ledger, lambda: None))
        return await anext(reader.events(f"{BOOT}.{number}"))

    assert asyncio.run(first()).startswith("id: ")


def test_a_name_that_others_point_here_is_refused_without_a_password(site: Open) -> None:
    hosts = {"evil.example": 421, "evil.example:9465": 421, "127.0.0.1.evil.example": 421}
    hosts |= {"localhost:9465": 200, "127.0.0.1": 200, "[::1]:9465": 200}

    for host, code in hosts.items():
        assert site().get("/", headers={"Host": host}).status_code == code, host
        with_password = site(password=PASSWORD)
        answer = with_password.get("/", headers={"Host": host}, auth=("me", PASSWORD))
        assert answer.status_code == 200, host


NO_PASSWORD = [
    None,
    "",
    "Basic",
    "Basic ???",
    "Basic Og==",  # an empty password
    "Basic bWU=",  # no password
    f"Bearer {PASSWORD}",
    "Basic bWU6Y29ycmVjdCBob3JzZSBiYXR0ZXJ5IQ==",  # one character more
]


def test_without_the_password_nothing_is_told(site: Open) -> None:
    for authorization in NO_PASSWORD:
        headers = {} if authorization is None else {"Authorization": authorization}
        for path in ("/", "/events", f"/runs/{RUN}", "/nothing"):
            answer = site(password=PASSWORD).get(path, headers=headers)

            assert answer.status_code == 401, authorization
            assert answer.headers["www-authenticate"].startswith("Basic ")


def test_a_redis_user_who_may_only_read_is_enough(shop: Shop, run: list[str], site: Open) -> None:
    shop.visit(run[0])
    shop.context.redis.hset(f"backfill:run:{RUN}", "deadline", 1)  # `look.lua` would move it
    shop.context.redis.execute_command(
        "ACL", "SETUSER", "reader", "on", ">pass", "~*", "+@read", "+@connection"
    )
    reader = redis.Redis(
        unix_socket_path=str(shop.context.settings.redis_url).removeprefix("unix://"),
        username="reader",
        password="pass",
        decode_responses=True,
    )
    with pytest.raises(redis.exceptions.NoPermissionError):
        reader.set("x", 1)
    vars(shop.context).update(redis=reader)
    vars(shop.context).pop("ledger")
    client = site()

    assert client.get("/").status_code == 200
    assert "NoPermission" not in client.get("/").text
    assert client.get(f"/runs/{RUN}").status_code == 200
    assert moment(client)["live"]["status"]["steps"]["succeeded"] == 1
    assert shop.ledger.client.hget(f"backfill:run:{RUN}", "state") == "running"


def test_an_event_tells_what_the_ledger_tells(shop: Shop, run: list[str]) -> None:
    async def main() -> None:
        reader = Reader(RunLook(shop.context, RUN, shop.plan_of(RUN)))
        events = reader.events("")
        while "status" not in (first := await anext(events)):
            pass
        await asyncio.to_thread(shop.visit, run[0])
        while CODES["complete"] not in [row[2] for row in told(first)["cells"]]:
            first = await anext(events)
        assert told(first)["cells"] == [["sessionise", str(EVE), CODES["complete"], 4, 4]]

    def told(event: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(event.partition("data: ")[2])
        return found

    asyncio.run(main())


def test_daemons_that_do_not_answer_are_told(shop: Shop, site: Open) -> None:
    shop.context.redis.set("backfill:runs", "x")  # of another type: Redis refuses
    page = site().get("/").text
    assert "cannot be read" in page

    shop.context.redis.delete("backfill:runs")
    gaps = OpenGaps(shop.context)
    gaps.count()
    assert site(gaps=gaps).get("/gaps").status_code == 200
    shutil.rmtree(shop.context.settings.home.parent / "warehouse/shop_analytics/sessions")
    gaps.count()
    assert "The warehouse could not be counted" in gaps.found["trouble"]
    assert "The warehouse could not be counted" in site(gaps=gaps).get("/").text


def test_open_gaps_are_listed_by_phase_and_age(shop: Shop, site: Open) -> None:
    shop.lose_sessions(EVE, LAST)
    gaps = OpenGaps(shop.context)
    assert not gaps.is_billed
    assert "counted_at" in str(gaps.found)

    gaps.count()

    (found,) = [each for each in gaps.found["rows"] if each["phase"] == "sessionise"]
    assert (found["reason"], found["dates"], found["oldest"]) == ("missing", 2, str(EVE))
    assert found["age_days"] > 300
    client = site(gaps=gaps)
    page = client.get("/gaps").text
    assert "planner enqueue --gaps" in page
    assert ALL_RUNS in page

    # A run's page tells them, too
    shop.register(shop.plan())
    details = {(phase, iso): text for phase, iso, text, *_ in moment(client)["details"]}
    assert details["sessionise", str(EVE)].startswith("shop_analytics.sessions holds ")
    assert "holds no rows" in page or "holds 0 of" in page


def test_what_counting_is_billed_is_not_counted_unasked(
    shop: Shop, site: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    def counted(**options: bool) -> dict[str, Any]:
        gaps = OpenGaps(shop.context, **options)
        gaps.count()
        return gaps.found

    monkeypatch.setattr(LocalWarehouse, "bytes_to_count", lambda *arguments: 1 << 30)
    assert counted(only_free=True)["counted_at"] is None
    assert "--gaps-every" in counted(only_free=True)["trouble"]
    assert counted()["counted_at"] is not None

    # Where it cannot be told, nothing is counted either
    for error in (WarehouseRefused("it is not there"), RuntimeError("secret")):

        def refuse(*arguments: object, error: Exception = error) -> int:
            raise error

        monkeypatch.setattr(LocalWarehouse, "bytes_to_count", refuse)
        found = counted(only_free=True)
        assert found["counted_at"] is None
        told = "it is not there" if isinstance(error, WarehouseRefused) else "RuntimeError"
        assert told in found["trouble"]
        assert "secret" not in found["trouble"]


def test_beyond_this_machine_it_asks_for_a_password(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = environment_of(shop.context.settings)
    done = planner("serve", "--address", "0.0.0.0", environment=environment, cwd=tmp_path)
    assert done.code == 2
    assert "BACKFILL_SERVE_PASSWORD" in done.err

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BACKFILL_SERVE_PASSWORD", "short")
    with pytest.raises(UsageError, match="BACKFILL_SERVE_PASSWORD: it is short") as short:
        load_settings()
    assert "'short'" not in str(short.value)
    monkeypatch.setenv("BACKFILL_SERVE_PASSWORD", "")
    assert load_settings().serve_password is None


def test_it_serves_until_it_is_stopped_and_never_writes_the_password(
    shop: Shop, run: list[str]
) -> None:
    environment = environment_of(shop.context.settings)
    home = shop.context.settings.home
    with served({**environment, "BACKFILL_SERVE_PASSWORD": PASSWORD}, home) as url:
        assert httpx.get(url).status_code == 401
        events = f"{url}/runs/{RUN}/events"
        with httpx.stream("GET", events, auth=("me", PASSWORD), timeout=20) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            lines = answer.iter_lines()
            assert next(lines).startswith("id: ")
            assert f'"run_id":"{RUN}"' in next(lines) + "".join(next(lines) for _ in range(3))
            # and a reader who is there does not keep it from ending
    told = planner("settings", environment={**environment, "BACKFILL_SERVE_PASSWORD": PASSWORD},
                   cwd=home)  # fmt: skip
    assert PASSWORD not in told.out
    files = [path for path in home.rglob("*") if path.is_file()]
    assert not [path for path in files if PASSWORD.encode() in path.read_bytes()]


@pytest.mark.slow
def test_two_hundred_readers_cost_redis_no_more_than_one_watch(shop: Shop) -> None:
    shop.lose_sessions(EVE, LAST, day(6))
    shop.register(shop.plan())
    environment = environment_of(shop.context.settings)

    with served(environment, shop.context.settings.home) as url:
        readers = asyncio.run(asked_of_redis(shop, f"{url}/runs/{RUN}/events", READERS))
    watching = subprocess.Popen(
        [sys.executable, "-m", "planner", "watch", RUN],
        env={**os.environ, **environment},
        cwd=shop.context.settings.home,
        stderr=subprocess.PIPE,
    )
    try:
        assert watching.stderr is not None
        watching.stderr.readline()  # it has looked
        before = commands(shop)
        until_later(SECONDS)
        watch = (commands(shop) - before).total() / SECONDS
    finally:
        watching.terminate()
        watching.communicate()

    print(f"{READERS} readers: {readers.total() / SECONDS:.1f} commands/s; a watch: {watch:.1f}")
    assert readers.total() / SECONDS <= watch
    assert set(readers) <= {
        "hgetall",
        "hget",
        "get",
        "zrevrange",
        "hvals",
        "hello",
        "client|setinfo",
    }


async def asked_of_redis(shop: Shop, url: str, readers: int) -> Counter[str]:
    """What Redis is asked for some seconds in which so many listen."""
    limits = httpx.Limits(max_connections=None)
    heard = [0] * readers
    async with httpx.AsyncClient(limits=limits, timeout=60) as client:

        async def listen(n: int) -> None:
            async with client.stream("GET", url) as answer:
                assert answer.status_code == 200
                async for line in answer.aiter_lines():
                    heard[n] += line.startswith("data:")

        tasks = [asyncio.create_task(listen(n)) for n in range(readers)]
        while not all(heard):
            await asyncio.sleep(0.1)
        before, told = commands(shop), list(heard)
        await asyncio.sleep(SECONDS)
        asked = commands(shop) - before
        assert all(now > then for now, then in zip(heard, told, strict=True))
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return asked


def commands(shop: Shop) -> Counter[str]:
    """How often each command was sent to Redis so far, but for those that ask that."""
    found = shop.context.redis.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): each["calls"] for name, each in found.items()}
    return Counter({name: n for name, n in calls.items() if name not in ("info", "ping")})


def until_later(seconds: float) -> None:
    """Let a time pass in which something is counted."""
    end = time.monotonic() + seconds
    until(lambda: time.monotonic() > end)
