"""People are told, by a real command and over real HTTP, and a run never fails of it."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest
from pydantic import SecretStr

from planner.plan.hours import Hours
from planner.plan.states import RunState
from planner.report.message import source_late
from planner.settings import masked_webhook
from tests.integration.shop import LAST, RUN, Shop, day, drain, lose_what_is_written
from tests.waiting import until
from worker import notify as module
from worker.finalization.finalize import finalize
from worker.run.stalled import tell_if_slow


class Hook:
    """A web hook that refuses some times first."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.refuses = 0


@pytest.fixture
def hook() -> Iterator[Hook]:
    world = Hook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            world.got.append((dict(self.headers), body))
            code = 503 if len(world.got) <= world.refuses else 200
            self.send_response(code)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *ignored: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    world.url = f"http://127.0.0.1:{server.server_port}/services/T0/s3cr3ts3cr3t"
    yield world
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.01)


def set_up(shop: Shop, **more: Any) -> None:
    settings = shop.context.settings.model_copy(update=more)
    shop.context.__dict__["settings"] = settings


def ends(shop: Shop, monkeypatch: pytest.MonkeyPatch | None = None) -> str:
    """A run over one day, which fails when its rows are lost as soon as they are written."""
    shop.lose_sessions(LAST)
    ids = shop.register(shop.plan())
    if monkeypatch is not None:
        lose_what_is_written(monkeypatch, LAST)
    drain(shop, ids)
    return finalize(shop.context, RUN)


def test_a_command_reads_what_became_of_a_run(
    shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "told.json"
    set_up(shop, notify=f"sh -c 'cat > \"$0\"' {out}")

    assert ends(shop, monkeypatch) == "failed"

    found = json.loads(out.read_text())
    assert (found["event"], found["run_id"], found["state"]) == ("run_ended", RUN, "failed")
    assert found["text"].splitlines()[0] == found["title"] == f"sales: {RUN} failed"
    assert "sessionise failed, 1 date: 2025-04-11: rows missing" in found["text"]
    assert f"planner retry {RUN}" in found["text"]


def test_a_web_hook_is_sent_it_signed_and_again_when_it_refuses(shop: Shop, hook: Hook) -> None:
    hook.refuses = 2
    set_up(shop, notify=hook.url, notify_secret=SecretStr("key"))

    assert ends(shop) == "complete"

    assert len(hook.got) == 3
    headers, body = hook.got[-1]
    found = json.loads(body)
    assert found["state"] == "complete"
    assert "sessionise: 34 → 35 of 35 dates complete" in found["text"]
    digest = hmac.new(b"key", body, hashlib.sha256).hexdigest()
    assert headers["X-Backfill-Signature"] == f"sha256={digest}"

    # A second worker that comes to the same end tells nobody
    finalize(shop.context, RUN)
    assert len(hook.got) == 3


@pytest.mark.parametrize("notify", ["false", "/nowhere/at/all", "hook"])
@pytest.mark.quick("hook")
def test_what_cannot_be_told_changes_no_run_and_is_logged(
    shop: Shop, hook: Hook, caplog: pytest.LogCaptureFixture, notify: str
) -> None:
    hook.refuses = 99
    set_up(shop, notify=hook.url if notify == "hook" else notify)

    with caplog.at_level(logging.WARNING):
        assert ends(shop) == "complete"

    assert "was not delivered" in caplog.text
    assert "s3cr3ts3cr3t" not in caplog.text


DRIPS = b"HTTP/1.1 200 OK\r\n"


@pytest.fixture
def dripping() -> Iterator[str]:
    """A web hook whose answer never ends, byte by byte."""
    over = threading.Event()

    def drip(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.sendall(DRIPS)
            while not over.wait(0.05):
                connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=drip, args=(server.accept()[0],), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}/"
        over.set()


MARK = "300.0625"  # seconds; no other test sleeps for as long
ENDLESS = [
    "the hook drips",
    f"sh -c 'sleep {MARK} & exit 1'",  # what it started holds its output open
    f"sh -c 'sleep {MARK} & wait'",
    "cat /dev/zero",
]


@pytest.mark.parametrize("notify", ENDLESS)
@pytest.mark.quick(0, 1, 3)
def test_what_takes_the_message_cannot_hold_up_the_worker_that_tells(
    shop: Shop,
    dripping: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    notify: str,
) -> None:
    monkeypatch.setattr(module, "DELIVER_SECONDS", 0.5)
    set_up(shop, notify=dripping if "hook" in notify else notify)
    told = source_late("sales", "orders", [LAST])
    began = time.monotonic()

    assert not module.notify(shop.context, told, once="1")

    assert time.monotonic() - began < 5
    assert "was not delivered" in caplog.text
    # What it started is ended with it, also what is nobody's child by then
    until(lambda: not [each for each in psutil.process_iter(["cmdline"])
                       if each.info["cmdline"] == ["sleep", MARK]])  # fmt: skip


def test_what_a_command_that_ends_well_leaves_behind_is_not_waited_for(shop: Shop) -> None:
    """It may be a mailer that goes on by itself; it holds nothing of ours open."""
    mark = f"{20 + time.time() % 1:.9f}"
    set_up(shop, notify=f"sh -c 'sleep {mark} & exit 0'")
    began = time.monotonic()

    assert module.notify(shop.context, source_late("sales", "orders", [LAST]), once="1")

    assert time.monotonic() - began < 10
    for each in psutil.process_iter(["cmdline"]):
        if each.info["cmdline"] == ["sleep", mark]:
            each.kill()


def test_a_run_that_stands_still_is_told_of_once(shop: Shop, hook: Hook) -> None:
    shop.lose_sessions(LAST)
    shop.register(shop.plan())
    record = shop.ledger.require(RUN)

    set_up(shop, notify=hook.url, stalled_seconds=3600)
    assert not tell_if_slow(shop.context, record)
    shop.context.redis.delete(f"backfill:run:{RUN}:looked")

    # When it has stood for a while, then people are told, once, and what keeps it
    long_ago = record.model_copy(update={"created": record.created - 7200, "started": None})
    assert tell_if_slow(shop.context, long_ago)
    shop.context.redis.delete(f"backfill:run:{RUN}:looked")
    assert not tell_if_slow(shop.context, long_ago)
    (_, body), *_ = hook.got
    found = json.loads(body)
    assert found["event"] == "run_stalled"
    why = "no worker is there: start some with `planner up`"
    assert f"for 2 h 00 min; {why}. planner status" in found["text"]
    assert len(hook.got) == 1

    # A paused one stands still on purpose, and so does one whose hours have not come
    shop.context.redis.delete(f"backfill:run:{RUN}:looked", *told_keys(shop))
    at = datetime.fromtimestamp(shop.ledger.now(), UTC) + timedelta(hours=2)
    later = Hours(begin=at.time(), end=(at + timedelta(hours=1)).time())
    assert not tell_if_slow(shop.context, long_ago.model_copy(update={"hours": later}))
    assert not tell_if_slow(shop.context, long_ago.model_copy(update={"state": RunState.PAUSED}))


def told_keys(shop: Shop) -> list[str]:
    return [str(key) for key in shop.context.redis.scan_iter("backfill:told:*")]


def test_a_run_that_takes_twice_as_long_as_planned_is_told_of_once(shop: Shop, hook: Hook) -> None:
    # Given a run whose plan knows how long an earlier one took
    ends(shop)
    shop.lose_sessions(day(4))
    plan = shop.plan(with_estimate=True)
    assert plan.estimate is not None
    assert plan.estimate.seconds is not None
    shop.register(plan, "run-second")
    record = shop.ledger.require("run-second")
    set_up(shop, notify=hook.url, stalled_seconds=10**7)
    looked = "backfill:run:run-second:looked"

    in_time = record.model_copy(update={"started": record.created})
    assert not tell_if_slow(shop.context, in_time)
    shop.context.redis.delete(looked)

    # When it has taken that long, then people are told once; of one with slots of its own, never
    slow = {"started": record.created - 3 * plan.estimate.seconds - 60}
    late = record.model_copy(update=slow)
    assert not tell_if_slow(shop.context, late.model_copy(update={"max_slots": 1}))
    shop.context.redis.delete(looked)
    assert tell_if_slow(shop.context, late)
    shop.context.redis.delete(looked)
    assert not tell_if_slow(shop.context, late)
    ((_, body),) = hook.got
    found = json.loads(body)
    assert found["event"] == "run_drifts"
    assert "planner status run-second" in found["text"]


def test_what_could_not_be_told_is_told_by_the_next_look(shop: Shop, hook: Hook) -> None:
    hook.refuses = module.TRIES
    set_up(shop, notify=hook.url)
    message = source_late("sales", "orders", [LAST])

    assert not module.notify(shop.context, message, once="1")
    assert module.notify(shop.context, message, once="1")
    assert not module.notify(shop.context, message, once="1")


def test_the_address_of_a_web_hook_is_shown_without_its_secret() -> None:
    assert masked_webhook("https://hooks.example.com/services/T/x") == (
        "https://hooks.example.com/***"
    )
    assert masked_webhook("notify-me --fast") == "notify-me --fast"
