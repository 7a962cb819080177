"""Pages in a real browser, headless Chromium: at the end none may have said anything."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ElementHandle, Error, Locator, Page, sync_playwright

from planner.report.html.render import render_page
from planner.report.report import Report
from tests.waiting import until

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
HOSTILE = '</script><script>hit()</script>"><img src=x onerror=hit()> `${hit()}` javascript:hit()'
BEFORE_ANYTHING = "window.hits = 0; window.hit = () => { window.hits += 1; };"
START_MILLISECONDS = 60_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("there is no browser: `apt-get install chromium`, or have it on the PATH")
    with sync_playwright() as playwright:
        try:
            started = playwright.chromium.launch(
                executable_path=found, args=ARGUMENTS, timeout=START_MILLISECONDS
            )
        except Error as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"{found} does not start: {str(error).splitlines()[0]}")
        yield started
        started.close()


@dataclass(kw_only=True)
class Seen:
    """An open page, and everything it said or asked for."""

    page: Page
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, page: Page) -> Seen:
        seen = cls(page=page)
        page.on("console", lambda message: seen.said.append(message.text))
        page.on("pageerror", lambda error: seen.said.append(str(error)))
        page.on("request", lambda request: seen.asked.append(request.url))
        return seen

    @property
    def cells(self) -> Locator:
        return self.page.locator(".cells > .cell")

    @property
    def card(self) -> Locator:
        return self.page.locator("#card")

    @property
    def focused(self) -> str:
        label: str = self.page.evaluate("document.activeElement.getAttribute('aria-label')")
        return label

    def cell(self, phase: str, day: object) -> ElementHandle:
        """The cell of a phase and date."""
        found = self.page.evaluate_handle(f"calendar.nodeOf('{phase}', '{day}')").as_element()
        assert found is not None
        return found

    def state(self, phase: str, day: object) -> str:
        """What the cell of a phase and date is drawn as."""
        look = self.page.evaluate(f"calendar.nodeOf('{phase}', '{day}').className")
        (found,) = [word for word in look.split() if word.startswith("s-")]
        return str(found).removeprefix("s-")

    def becomes(self, phase: str, day: object, state: str, *, seconds: float) -> float:
        """Wait until the cell of a phase and date is in a state; how many seconds it took."""
        began = time.monotonic()
        until(lambda: self.state(phase, day) == state, seconds=seconds)
        return time.monotonic() - began

    def count(self, state: str) -> int:
        return self.page.locator(f".cells > .s-{state}").count()


def serious(seen: Seen) -> list[str]:
    """What axe calls serious or critical."""
    found = Axe().run(seen.page, options={"resultTypes": ["violations"]}).response["violations"]
    return [
        f"{each['id']} ({each['impact']}): {each['nodes'][0]['html'][:200]}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


Open = Callable[..., Seen]


@pytest.fixture
def open_page(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Opens a page, or that of a report, from a file. At the end nothing may have been said or
    asked for."""
    opened: list[Seen] = []

    def show(
        report: Report | str,
        *,
        scheme: str = "light",
        script: bool = True,
        address: str = "",
        **options: Any,
    ) -> Seen:
        path = tmp_path / f"report-{len(opened)}.html"
        text = report if isinstance(report, str) else render_page(report)
        path.write_text(text, encoding="utf-8")
        context = browser.new_context(
            color_scheme=scheme,  # type: ignore[arg-type]
            java_script_enabled=script,
            **{"viewport": {"width": 1440, "height": 900}, **options},
        )
        if script:
            context.add_init_script(BEFORE_ANYTHING)
        page = context.new_page()
        seen = Seen.of(page)
        page.goto(path.as_uri() + address)
        seen.asked.remove(path.as_uri())
        opened.append(seen)
        return seen

    yield show
    for seen in opened:
        seen.page.context.close()
        assert seen.said == []
        assert [url for url in seen.asked if not url.startswith("data:")] == []
