"""The report's page in a real browser: headless Chromium, opened from a file, offline."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from planner.gaps.gaps import Skipped, SkipReason
from planner.pipeline.load import load_pipeline
from planner.report.html.plan_page import render_plan
from tests.integration.browser import HOSTILE, VIEWPORT, Open, Pages, Seen, open_file
from tests.reports import FAILED, make_plan_of, make_report

PAINT_MILLISECONDS = 500.0
"""Some 6,000 cells take about 30; the machine may be busy."""


@pytest.fixture(scope="module")
def shown(pages: Pages, tmp_path_factory: pytest.TempPathFactory) -> Seen:
    """A report over four seasons, opened once."""
    return open_file(pages.take(), tmp_path_factory.mktemp("shown") / "report.html", make_report())


@pytest.fixture
def seen(shown: Seen) -> Iterator[Seen]:
    """What several tests look at, and none changes."""
    yield shown
    shown.page.set_viewport_size(VIEWPORT)
    shown.page.mouse.move(2, 2)
    shown.was_quiet()


def test_there_is_a_cell_for_every_phase_and_date_of_every_season(seen: Seen) -> None:
    report = make_report()
    days = sum((season.end - season.start).days + 1 for season in report.seasons)

    assert seen.page.locator("[role=grid]").count() == len(report.seasons)
    assert seen.cells.count() == days * len(report.phases)
    for state in ("complete", "missing", "partial", "cascade"):
        expected = sum(
            report.days_after.count(phase, season).get(state, 0)  # type: ignore[call-overload]
            for phase in report.phases
            for season in report.seasons
        )
        assert seen.count(state) == expected


def test_the_switch_shows_what_was_before_and_what_is_after(open_page: Open) -> None:
    seen = open_page(make_report(fails=False))
    assert (seen.count("missing"), seen.count("partial"), seen.count("cascade")) == (0, 0, 0)
    repaired = seen.page.locator(".cells > .fixed").count()

    seen.page.get_by_role("button", name="Before").click()

    short = seen.count("missing") + seen.count("partial") + seen.count("cascade")
    assert short == repaired > 500
    assert seen.page.locator("#before").get_attribute("aria-pressed") == "true"
    assert seen.page.locator("#after").get_attribute("aria-pressed") == "false"
    seen.page.get_by_role("button", name="After").click()
    assert seen.count("missing") == 0


def test_a_season_without_any_source_has_no_calendar_and_no_tick(open_page: Open) -> None:
    seen = open_page(make_report(seasons=1, fails=False, bare=1))

    assert seen.page.locator("[role=grid]").count() == 1
    assert (seen.page.locator(".season").nth(0).text_content() or "") == (
        "2022-23no source holds anything, so nothing was expected"
    )


def test_pointing_at_a_cell_says_all_about_it(seen: Seen) -> None:
    (error,) = {each.reason for each in make_report().failures if each.phase == "analytics"}
    day = (FAILED - make_report().seasons[1].start).days
    row = seen.page.locator("[role=grid]").nth(2).locator("[role=row]").nth(1)

    row.locator(".cell").nth(day).hover()

    lines = seen.card.locator("div").all_text_contents()
    assert lines[0] == "analytics, Sun 11 Dec 2022"
    assert lines[1].startswith("partial: ")
    assert lines[2].startswith("expected ")
    assert lines[3] == f"failed: {error}"
    seen.page.mouse.move(2, 2)
    assert seen.card.is_hidden()


def test_without_a_mouse_arrow_keys_move_and_show_details(open_page: Open) -> None:
    seen = open_page(make_report())
    press = seen.page.keyboard.press
    seen.page.locator("#after").focus()

    # Tab goes into the newest calendar, at its newest day, and on to the next: one stop each.
    seen.page.locator("[data-show]").last.focus()
    press("Tab")
    assert seen.focused.startswith("raw, Sun 22 Jun 2025: ")
    assert seen.card.locator("div").first.text_content() == "raw, Sun 22 Jun 2025"
    press("ArrowLeft")
    press("ArrowDown")
    assert seen.focused.startswith("analytics, Sat 21 Jun 2025: ")
    press("Home")
    assert seen.focused.startswith("analytics, Tue 22 Oct 2024: ")
    press("ArrowLeft")
    press("ArrowUp")
    press("ArrowUp")
    assert seen.focused.startswith("raw, Tue 22 Oct 2024: ")
    press("Tab")
    assert seen.focused.startswith("raw, Mon 17 Jun 2024: ")
    press("Escape")
    assert seen.card.is_hidden()
    press("Shift+Tab")
    assert seen.focused.startswith("raw, Tue 22 Oct 2024: ")

    # N and P go to the next finding in any row, and on to the next calendar
    found = [seen.focused]
    for key in "nnp":
        press(key)
        found.append(seen.focused)
    assert all(": complete" not in label for label in found[1:])
    assert found[3] == found[1] != found[2]

    ring = seen.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert ring == "solid"


def test_the_timeline_is_reached_by_keys_and_marks_what_failed(seen: Seen) -> None:
    report = make_report()
    bars = seen.page.locator("#timeline .bar")
    failed = [step for step in report.steps if step.state == "failed"]
    assert bars.count() == sum(step.started is not None for step in report.steps)
    assert seen.page.locator("#timeline .bar.bad").count() == len(failed)

    seen.page.locator("#timeline .bar[tabindex='0']").focus()
    first = seen.focused
    seen.page.keyboard.press("ArrowRight")
    assert seen.focused != first
    seen.page.keyboard.press("ArrowDown")
    assert "worker-2@fleet" in seen.focused
    assert seen.card.is_visible()


def test_hostile_text_shows_as_text_and_never_runs(open_page: Open) -> None:
    report = make_report(reason=HOSTILE, error=HOSTILE)
    report = report.model_copy(
        update={
            "run_id": "run-</title><script>hit()</script>",  # the model itself refuses it
            "entity": HOSTILE,
            "steps": tuple(step.model_copy(update={"worker": HOSTILE}) for step in report.steps),
        }
    )

    seen = open_page(report)
    for cell in ("[data-card].bad", ".cells > .s-partial"):
        seen.page.locator(cell).first.hover(force=True)
        assert HOSTILE in (seen.card.text_content() or "")

    assert HOSTILE in (seen.page.locator(".failures .reason").first.text_content() or "")
    assert seen.page.locator("dd").first.text_content() == HOSTILE
    assert seen.page.locator("img").count() == 0
    assert seen.page.evaluate("window.hits") == 0
    assert seen.page.title().startswith("Backfill run-</title><script>hit()</script>")


def test_script_that_gets_in_all_the_same_is_refused(open_page: Open) -> None:
    seen = open_page(make_report(seasons=1))

    seen.page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "hit()";
            document.body.append(script);
            const image = document.createElement("img");
            image.setAttribute("onerror", "hit()");
            image.src = "data:,";
            document.body.append(image);
            const link = document.createElement("a");
            link.href = "javascript:hit()";
            document.body.append(link);
            link.click();
        }"""
    )
    seen.page.wait_for_function("document.images[0].complete")

    assert seen.page.evaluate("window.hits") == 0
    assert any("Content Security Policy" in text for text in seen.said)
    seen.said.clear()


@pytest.mark.parametrize(("scheme", "is_dark"), [("light", False), ("dark", True)])
def test_it_is_readable_in_light_and_dark(open_page: Open, scheme: str, is_dark: bool) -> None:
    seen = open_page(make_report(seasons=1), color_scheme=scheme)

    def brightness(what: str) -> float:
        channels = seen.page.evaluate(
            f"getComputedStyle(document.body).{what}.match(/\\d+/g).slice(0, 3).map(Number)"
        )
        return float(sum(channels)) / 3

    assert (brightness("backgroundColor") < 80) is is_dark
    assert abs(brightness("backgroundColor") - brightness("color")) > 150


def test_states_differ_by_more_than_colour(seen: Seen) -> None:
    images = (
        seen.page.locator(".legend")
        .first.locator(".cell")
        .evaluate_all(
            """nodes => nodes.map(node => {
            const style = getComputedStyle(node);
            return (style.backgroundImage + style.backgroundSize).replace(/rgba?\\([^)]*\\)/g, "");
        })"""
        )
    )

    assert len(images) >= 7
    assert len(set(images)) == len(images)


def test_a_narrow_screen_scrolls_within_the_calendars_alone(seen: Seen) -> None:
    seen.page.set_viewport_size({"width": 360, "height": 740})

    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 360
    wide = seen.page.locator(".pan").first
    assert wide.evaluate("node => node.scrollWidth > node.clientWidth")


def test_without_a_script_the_tables_are_there(open_page: Open) -> None:
    seen = open_page(make_report(), script=False)

    assert seen.page.locator(".matrix tbody tr").count() == 12
    assert seen.page.locator(".failures").first.is_visible()
    assert seen.page.locator("#switch").is_hidden()
    assert "need JavaScript" in (seen.page.locator("#maps").text_content() or "")


@pytest.mark.slow
def test_five_seasons_switch_at_once(open_page: Open) -> None:
    seen = open_page(make_report(seasons=5))
    assert seen.cells.count() == 5985

    spent = seen.page.evaluate(
        """() => {
            const start = performance.now();
            document.getElementById("before").click();
            document.body.getBoundingClientRect();
            return performance.now() - start;
        }"""
    )

    assert spent < PAINT_MILLISECONDS


# -- the page of a plan ----------------------------------------------------------------------


def test_a_plan_shows_every_date_now_and_as_planned(open_page: Open) -> None:
    plan = make_plan_of(seasons=1)
    seen = open_page(render_plan(plan, load_pipeline("nba"), command="planner enqueue --gaps"))

    # Now: what is short. As planned: what is written, and nothing short that it does not name
    short = seen.count("missing") + seen.count("partial")
    assert short > 100
    assert seen.page.locator("#before").text_content() == "Now"
    seen.page.get_by_role("button", name="As planned").click()
    written = sum(len(step.dates) for _, step in plan.steps())
    assert seen.count("planned") + seen.count("cascade") == written
    assert seen.count("missing") + seen.count("partial") == 0

    # A cell says both, and the command can be copied
    seen.page.locator(".cells > .s-planned").first.hover()
    assert "to do: this plan writes it" in (seen.card.text_content() or "")
    assert "now: partial, expected 10, found 1" in (seen.card.text_content() or "")
    assert seen.page.locator("code").all_text_contents() == ["planner enqueue --gaps"]


def test_nothing_of_a_plan_can_run(open_page: Open) -> None:
    plan = make_plan_of(seasons=1)
    left = Skipped(phase="grading", date=FAILED, reason=SkipReason.UPSTREAM_MISSING, detail=HOSTILE)
    hostile = plan.model_copy(update={"warehouse": HOSTILE, "reason": HOSTILE, "skipped": (left,)})

    seen = open_page(render_plan(hostile, load_pipeline("nba"), command=HOSTILE))

    assert seen.page.evaluate("window.hits") == 0
    assert seen.page.locator("code").all_text_contents() == [HOSTILE]
    assert HOSTILE in seen.page.locator("td.reason").all_text_contents()
