"""The screenshots of docs: one run before, while and after a real fleet works at it.

make screenshots
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from planner.pipeline.load import load_pipeline
from planner.sandbox.boxscores import generate_boxscores
from planner.sandbox.build import build
from planner.sandbox.punch import punch
from sql import open_warehouse
from tests.conftest import BUILT_UNTIL, Sandbox, copy_sandbox
from tests.integration.browser import ARGUMENTS, NAMES
from tests.integration.served import served
from tests.waiting import until

DOCS = Path(__file__).parents[1] / "docs"
SIZE = {"width": 1280, "height": 860}
MARGIN = 24  # pixels above and below what is shown
BUSY = 8  # steps that have succeeded when the second one is taken


def main() -> None:
    """Make all three."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        place = Path(folder)
        season = load_pipeline("nba").seasons[0]
        build(place / "whole", generate_boxscores([season], seed=7), until=BUILT_UNTIL)
        sandbox = copy_sandbox(place, place / "whole", stack)
        warehouse = open_warehouse(sandbox.settings.warehouse)
        punch(warehouse, sandbox.pipeline, seed=11, holes=14)
        warehouse.close()
        sandbox.start_fleet(workers=2)
        sandbox.fault({"predictions": {"2021-11-24": "crash"}})
        take(sandbox, stack)


def take(sandbox: Sandbox, stack: ExitStack) -> None:
    """Look at one run three times."""
    playwright = stack.enter_context(sync_playwright())
    found = next(filter(None, map(shutil.which, NAMES)))
    browser = playwright.chromium.launch(executable_path=found, args=ARGUMENTS)
    page = browser.new_page(viewport=SIZE)
    before = sandbox.place / "plan.html"
    end = str(BUILT_UNTIL)
    assert sandbox.planner("plan", "--end", end, "--html", str(before)).code == 0
    page.goto(before.as_uri())
    shoot(page, "before")

    done = sandbox.planner("enqueue", "--gaps", "--end", end, "--json")
    run_id = done.json["run_id"]
    assert sandbox.running is not None
    with served(sandbox.running.environment, sandbox.place / "home") as url:
        page.goto(f"{url}/runs/{run_id}")
        until(lambda: sandbox.steps(run_id)["succeeded"] >= BUSY)
        page.wait_for_selector(".cells > .s-running")
        shoot(page, "during")
        sandbox.planner("watch", run_id)
        page.goto(f"{url}/runs/{run_id}")
        shoot(page, "after")
    browser.close()


def shoot(page: Page, moment: str) -> None:
    """The figures and the calendar; above them stand who asked, and where."""
    page.evaluate("scrollTo(0, 0)")
    top, bottom = (page.locator(each).bounding_box() for each in ("#figures", "#maps"))
    assert top is not None
    assert bottom is not None
    first, last = top["y"] - MARGIN, bottom["y"] + bottom["height"] + MARGIN
    path = DOCS / f"{moment}.png"
    shown = {"x": 0, "y": first, "width": SIZE["width"], "height": last - first}
    page.screenshot(path=path, full_page=True, clip=shown)  # type: ignore[arg-type]
    print(f"{path.name}: {path.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
