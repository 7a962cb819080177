"""A run in a browser while a real fleet works at it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from planner.plan.states import StepState
from tests.integration.browser import Seen
from tests.integration.served import served
from tests.integration.tiny import Tiny
from tests.waiting import until

SOON = 2.0
"""Seconds that a page may be behind the ledger."""


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
