"""A run in a browser while a real fleet works at it."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import date
from pathlib import Path

import psutil
import pytest
from playwright.sync_api import Browser

from planner.plan.states import StepState
from planner.sandbox.workers import environment_of
from tests.conftest import Sandbox
from tests.integration.browser import BEFORE_ANYTHING, HOSTILE, Seen, serious
from tests.integration.served import served
from tests.integration.shop import RUN, Shop, day
from tests.integration.tiny import Tiny
from tests.waiting import until
from worker.serve.tail import log_file

SOON = 2.0
"""Seconds that a page may be behind the ledger."""
LOST = date(2021, 11, 20)
HIDE = """
    Object.defineProperty(document, "hidden", { value: true });
    document.dispatchEvent(new Event("visibilitychange"));
"""


@pytest.mark.slow
def test_a_cell_goes_from_missing_to_running_to_complete(tiny: Tiny, browser: Browser) -> None:
    first, second = tiny.days(2)
    tiny.hold(first)
    tiny.hold(second)
    run_id = tiny.register([first, second])
    with served(tiny.child_environment, tiny.place) as url:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        seen = Seen.of(page)
        page.goto(f"{url}/runs/{run_id}")
        seen.becomes("a", first, "complete", seconds=SOON)  # as its rows are there

        tiny.say("send", run_id)
        until(lambda: tiny.ledger.steps(run_id)[f"{first}/a"] is StepState.RUNNING)
        seen.becomes("a", first, "running", seconds=SOON)

        tiny.let_go(first)
        until(lambda: tiny.ledger.steps(run_id)[f"{first}/a"] is StepState.SUCCEEDED)
        seen.becomes("a", first, "complete", seconds=SOON)
        tiny.let_go(second)
        until(lambda: tiny.ledger.require(run_id).is_ended)
        page.wait_for_selector("text=The run has ended", timeout=SOON * 1000)
        page.goto(f"{url}/runs/{run_id}")
        assert "Backfill report" in (page.text_content("main") or "")
        page.close()
    assert seen.said == []


@pytest.mark.slow
def test_one_run_before_during_and_after(fleet: Sandbox, browser: Browser, tmp_path: Path) -> None:
    """Rows that are not there, repaired by a fleet, as a reader sees it on the three pages."""
    for table in [name for name in fleet.tables if not name.startswith("nba_raw.")]:
        fleet.run_sql(f"DELETE FROM {table} WHERE game_date = @day", day=LOST)
    at = ("grading", LOST)
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    seen = Seen.of(page)

    # Before: what `planner gaps` found
    before = tmp_path / "gaps.html"
    assert fleet.planner("gaps", "--html", str(before)).code == 1
    page.goto(before.as_uri())
    assert seen.state(*at) == "missing"

    # During: the fleet is still at the phase above, whose script hangs until it is killed
    fleet.fault({"analytics": {str(LOST): "hang"}, "grading": {str(LOST): "hang"}})
    done = fleet.planner("enqueue", "--gaps", "--no-cascade", "--json")
    assert done.code == 0, done.err
    run_id = done.json["run_id"]
    step = f"{LOST}/grading"
    assert fleet.running is not None
    with served(fleet.running.environment, fleet.place) as url:
        address = f"{url}/runs/{run_id}"
        page.goto(address)
        until(fleet.scripts)
        seen.becomes("analytics", LOST, "running", seconds=SOON)
        assert seen.state(*at) == "missing"

        # Another attempt is made, and what the ledger says of the date below, the page says soon
        fleet.fault({"grading": {str(LOST): "hang"}})
        kill(fleet)
        until(lambda: fleet.ledger.steps(run_id)[step] is StepState.RUNNING)
        running = seen.becomes(*at, "running", seconds=SOON)
        until(fleet.scripts)
        fleet.fault({})
        kill(fleet)
        until(lambda: fleet.ledger.steps(run_id)[step] is StepState.SUCCEEDED)
        complete = seen.becomes(*at, "complete", seconds=SOON)

        # After: the report has the same address, and leads back to the list
        until(lambda: fleet.ledger.require(run_id).is_ended)
        page.wait_for_selector("text=The run has ended", timeout=1000 * SOON)
        page.goto(address)
        assert "Backfill report" in page.inner_text("main > header")
        assert seen.state(*at) == "complete"
        assert "fixed" in (seen.cell(*at).get_attribute("class") or "").split()
        page.click("text=All runs")
        page.wait_for_selector(f"#runs >> text={run_id}")
        page.close()
    print(f"behind the ledger: running by {running:.2f} s, complete by {complete:.2f} s")
    assert seen.said == []
    assert fleet.differences() == []


def kill(fleet: Sandbox) -> None:
    """Kill the scripts that are at work."""
    for script in fleet.scripts():
        with suppress(psutil.NoSuchProcess):
            script.kill()


@pytest.mark.slow
def test_nothing_that_a_run_says_can_run_in_its_page(shop: Shop, browser: Browser) -> None:
    """Ids, log lines and errors of others, as they come in while the page is open."""
    shop.lose_sessions(day(4))
    ids = shop.register(shop.plan())
    record = {"worker": HOSTILE, "waiting": HOSTILE, "tried": json.dumps({str(day(4)): HOSTILE})}
    record |= {"error": HOSTILE, "attempt": "1", "failures": "1", "attempts_max": "4", "again": "1"}
    log = log_file(shop.context, RUN, ids[0])
    log.parent.mkdir(parents=True)
    log.write_text(f"{HOSTILE}\n")
    with served(environment_of(shop.context.settings), shop.context.settings.home) as url:
        page = browser.new_page()
        page.add_init_script(BEFORE_ANYTHING)
        seen = Seen.of(page)
        page.goto(f"{url}/runs/{RUN}#phase={HOSTILE}&date={HOSTILE}&show={HOSTILE}&find={HOSTILE}")
        client = shop.context.redis
        client.hset(f"backfill:run:{RUN}:step:{ids[0]}", mapping=record)
        client.hset(f"backfill:run:{RUN}:step:{ids[1]}", mapping=record)
        client.hset(f"backfill:run:{RUN}:steps", ids[0], "running")
        client.hset(f"backfill:run:{RUN}", "note", HOSTILE)

        page.wait_for_selector("#working pre")
        assert (page.text_content("#working pre") or "") == HOSTILE
        assert HOSTILE in (page.text_content("#working") or "").replace("on ", "", 1)
        assert HOSTILE in (page.text_content("#waiting") or "")
        assert HOSTILE in (page.text_content("#verdict") or "")
        seen.cell("sessionise", day(4)).click()
        assert HOSTILE in (page.text_content("#panel") or "")
        assert page.evaluate("[window.hits, document.images.length]") == [0, 0]
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            assert serious(seen) == [], scheme

        # A page that is not looked at asks for nothing
        def is_quiet() -> bool:
            before = asked(shop)
            page.wait_for_timeout(1000 * SOON)
            return asked(shop) == before

        assert not is_quiet()
        page.evaluate(HIDE)
        until(is_quiet)
        page.close()
    assert seen.said == []


def asked(shop: Shop) -> int:
    """How often Redis was asked for a hash so far."""
    calls: int = shop.context.redis.info("commandstats")["cmdstat_hgetall"]["calls"]
    return calls
