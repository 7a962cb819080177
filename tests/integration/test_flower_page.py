"""What a stranger reads in Flower: steps by their own names, and why each waits, is tried again or
failed. With FLOWER_SHOT, the page is written there as a picture."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page

from planner.plan.states import RunState
from tests.chaos.proxy import Proxy
from tests.integration.tiny import Tiny
from tests.waiting import until
from worker.context import Context
from worker.processes.children import Child, supervised

COLUMNS = "name,state,exception,worker,retries"
WIDTH, HEIGHT = 1500, 640


@contextmanager
def flower(tiny: Tiny, password: str) -> Iterator[str]:
    """Flower, while the block runs; its address."""
    with Proxy.free_port() as port:
        address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-P", "-m", "worker", "flower", "--address=127.0.0.1"]
    command += [f"--port={port}", "--read-only=True", f"--tasks-columns={COLUMNS}"]
    child = Child(
        name="flower",
        command=command,
        log=tiny.place / "flower.log",
        stop_seconds=5,
        environment={**tiny.environment, "FLOWER_BASIC_AUTH": f"me:{password}"},
    )

    def listens() -> bool:
        try:
            workers = httpx.get(f"{address}/workers?json=1", auth=("me", password)).json()
        except (httpx.HTTPError, ValueError):
            return False
        return bool(workers["data"])

    with supervised([child]):
        until(listens, seconds=60)
        yield address


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[Tiny]:
    """A world in which one step of `a` runs at once, `b` is not tried again, and `d` in ten
    minutes."""
    tiny = Tiny(tmp_path)
    path = tiny.place / "tiny.toml"
    head, *phases = path.read_text().split("[[phases]]\n")
    changes = {
        'name = "a"\n': ("retries = 1", "concurrency = 1"),
        'name = "b"\n': ("retries = 1", "retries = 0"),
        'name = "d"\n': ("retry_seconds = 0.2", "retry_seconds = 600"),
    }
    for n, phase in enumerate(phases):
        before, after = changes.get(phase[: phase.index("\n") + 1], ("", ""))
        phases[n] = phase.replace(before, after) if before else phase
    path.write_text("[[phases]]\n".join([head, *phases]))
    tiny.context = Context(tiny.settings)
    with tiny.up():
        yield tiny


@pytest.mark.slow
def test_a_stranger_reads_what_fails_what_waits_and_what_is_tried_again(
    busy: Tiny,
    browser: Browser,
) -> None:
    fine, failing, retried, held, waiting = busy.days(5)
    busy.spoil(failing, "b")
    busy.spoil(retried, "d")
    busy.hold(held)
    password = secrets.token_urlsafe(8)
    with flower(busy, password) as address:
        run_id = busy.enqueue([fine, failing, retried])
        until(lambda: busy.ledger.step(run_id, f"{retried}/d").retry_text, seconds=60)
        busy.enqueue([held])
        busy.holder(held)
        later = busy.enqueue([waiting])
        until(lambda: busy.ledger.step(later, f"{waiting}/a").waiting, seconds=60)

        page = open_tasks(browser, address, password)
        said = {row[0]: row for row in rows(page)}
        picture = os.environ.get("FLOWER_SHOT")
        if picture:
            page.screenshot(path=picture, full_page=True)
    busy.let_go(held)

    assert said[f"{fine}/a"][1] == "SUCCESS"
    assert said[f"{failing}/b"][1] == "FAILURE"
    assert "rows missing" in said[f"{failing}/b"][2]
    assert said[f"{retried}/d"][1] == "RETRY"
    assert "AttemptFailed" in said[f"{retried}/d"][2]
    assert "attempt 1 of 2 failed" in said[f"{retried}/d"][2]
    assert said[f"{waiting}/a"][1] == "RETRY"
    assert "waits for a slot of a (1 at once)" in said[f"{waiting}/a"][2]


def open_tasks(browser: Browser, address: str, password: str) -> Page:
    """Flower's page of tasks, by name, when its table is there."""
    context = browser.new_context(
        viewport={"width": WIDTH, "height": HEIGHT},
        http_credentials={"username": "me", "password": password},
    )
    page = context.new_page()
    page.goto(f"{address}/tasks")
    page.wait_for_selector("#tasks-table tbody tr td:nth-child(2)")
    return page


def rows(page: Page) -> list[list[str]]:
    """The texts of the table's rows: name, state, exception, …"""
    found: list[list[str]] = page.evaluate(
        """() => [...document.querySelectorAll('#tasks-table tbody tr')].map(
            row => [...row.children].filter(cell => cell.offsetParent).map(c => c.innerText))"""
    )
    return found


BUTTONS = [
    *("/api/worker/shutdown/{worker}", "/api/worker/pool/restart/{worker}"),
    *("/api/worker/pool/grow/{worker}", "/api/worker/pool/shrink/{worker}"),
    *("/api/worker/pool/autoscale/{worker}", "/api/worker/queue/add-consumer/{worker}"),
    *("/api/worker/queue/cancel-consumer/{worker}", "/api/task/revoke/x", "/api/task/abort/x"),
    *("/api/task/apply/backfill.step", "/api/task/async-apply/backfill.step"),
    *("/api/task/send-task/backfill.step", "/api/task/timeout/backfill.step"),
    "/api/task/rate-limit/backfill.step",
]


@pytest.mark.slow
def test_no_button_of_flower_s_does_anything(tmp_path: Path) -> None:
    """Read-only, as the compose file starts it, for whoever has the password too."""
    tiny = Tiny(tmp_path)
    with tiny.up(), flower(tiny, "button-4711") as address:
        auth = ("me", "button-4711")
        names = httpx.get(f"{address}/workers?json=1", auth=auth).json()["data"]
        worker = str(names[0]["hostname"])
        restarts = tiny.worker.restarts

        for button in BUTTONS:
            url = f"{address}{button.format(worker=worker)}"
            for given in (None, auth):
                body = {"args": ["run-x", "step-x"], "queue": "a", "n": 1, "workername": worker}
                answer = httpx.post(url, auth=given, json=body)
                assert answer.status_code in (401, 403, 404, 405), (button, answer)

        assert tiny.worker.restarts == restarts
        assert tiny.ended(tiny.enqueue(tiny.days(1))).state is RunState.COMPLETE
