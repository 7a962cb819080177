"""Pages in a real browser, headless Chromium: at the end none may have said anything."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    ElementHandle,
    Error,
    Locator,
    Page,
    ViewportSize,
    sync_playwright,
)

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
VIEWPORT: ViewportSize = {"width": 1440, "height": 900}


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
    hears: dict[str, Callable[[Any], None]] = field(default_factory=dict)

    @classmethod
    def of(cls, page: Page) -> Seen:
        seen = cls(page=page)
        seen.hears = {
            "console": lambda message: seen.said.append(message.text),
            "pageerror": lambda error: seen.said.append(str(error)),
            "request": lambda request: seen.asked.append(request.url),
        }
        for event, hear in seen.hears.items():
            page.on(event, hear)  # type: ignore[call-overload]
        return seen

    def was_quiet(self) -> None:
        """Nothing was said, and nothing was asked for."""
        assert self.said == []
        assert [url for url in self.asked if not url.startswith("data:")] == []

    def leave(self) -> None:
        """Leave the page, and hear nothing of the next one."""
        self.page.goto("about:blank")
        for event, hear in self.hears.items():
            self.page.remove_listener(event, hear)

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


@dataclass(kw_only=True)
class Pages:
    """Pages of one module: each is used again, as a new one takes a process of its own."""

    browser: Browser
    free: dict[bool, list[Page]] = field(default_factory=lambda: {True: [], False: []})
    """Whether scripts run → those that no test uses."""

    def take(
        self,
        *,
        script: bool = True,
        viewport: ViewportSize = VIEWPORT,
        color_scheme: Literal["light", "dark"] = "light",
        forced_colors: Literal["none", "active"] = "none",
    ) -> Page:
        """A page, as a new one would be."""
        if self.free[script]:
            page = self.free[script].pop()
        else:
            context = self.browser.new_context(java_script_enabled=script)
            if script:
                context.add_init_script(BEFORE_ANYTHING)
            page = context.new_page()
        page.set_viewport_size(viewport)
        page.emulate_media(media="null", color_scheme=color_scheme, forced_colors=forced_colors)
        page.mouse.move(0, 0)
        return page

    def give_back(self, seen: Seen, *, script: bool = True) -> None:
        """Let the next test use the page of this one."""
        seen.leave()
        self.free[script].append(seen.page)


@pytest.fixture(scope="module")
def pages(browser: Browser) -> Pages:
    """What `open_page` opens pages in."""
    return Pages(browser=browser)


Open = Callable[..., Seen]


@pytest.fixture
def open_page(pages: Pages, tmp_path: Path) -> Iterator[Open]:
    """Opens a page, or that of a report, from a file. At the end nothing may have been said or
    asked for."""
    opened: list[tuple[Seen, bool]] = []

    def show(
        report: Report | str, *, script: bool = True, address: str = "", **options: Any
    ) -> Seen:
        path = tmp_path / f"report-{len(opened)}.html"
        seen = open_file(pages.take(script=script, **options), path, report, address)
        opened.append((seen, script))
        return seen

    yield show
    for seen, script in opened:
        pages.give_back(seen, script=script)
        seen.was_quiet()


def open_file(page: Page, path: Path, report: Report | str, address: str = "") -> Seen:
    """Open a page, or that of a report, from a file that is written for it."""
    text = report if isinstance(report, str) else render_page(report)
    path.write_text(text, encoding="utf-8")
    seen = Seen.of(page)
    page.goto(path.as_uri() + address)
    seen.asked.remove(path.as_uri())
    return seen
