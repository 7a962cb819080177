"""What the pages let people look for: a date, what it rests on, an id, a state, a whole year."""

from __future__ import annotations

from datetime import date

import pytest

from planner.gaps.gaps import GapReason
from planner.gaps.snapshot import COMPLETE, Snapshot, Stretch
from planner.pipeline.load import load_pipeline
from planner.pipeline.lookback import lookback, reach
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.shape import shapes
from planner.pipeline.windows import DAY, Season, Window
from planner.plan.choose import choose
from planner.plan.chunks import chunk
from planner.plan.plan import Plan, make_plan
from planner.report.html.heatmap import Detail, details_of
from planner.report.html.plan_page import render_plan
from planner.report.report import Report, Short
from tests.integration.browser import HOSTILE, Open, Seen, serious
from tests.reports import PIPELINE, make_plan_of, make_report
from tests.unit import examples as eg

DRAW_MILLISECONDS = 500.0
"""What 20,000 cells may take to be drawn and laid out."""
FRAME_MILLISECONDS = 1000 / 30
COMMAND = "planner enqueue --gaps"
ID = "0042100406"


def plan_page(plan: Plan, *details: Detail) -> str:
    return render_plan(plan, load_pipeline("nba"), command=COMMAND, details=details)


def lit(seen: Seen, name: str) -> int:
    return seen.page.locator(f".cells > .{name}").count()


def boxes(seen: Seen, which: str) -> list[dict[str, float]]:
    """Where cells are drawn."""
    found: list[dict[str, float]] = seen.page.locator(f".cells > :is({which})").evaluate_all(
        "nodes => nodes.map((node) => node.getBoundingClientRect().toJSON())"
    )
    return found


# -- one date --------------------------------------------------------------------------------


def test_a_click_tells_all_of_a_date_and_lights_what_it_rests_on_and_what_rests_on_it(
    open_page: Open,
) -> None:
    day = date(2022, 3, 1)
    detail = Detail(phase="precompute", date=day, text="holds 0 of 8 games: lacks s04, s07")
    seen = open_page(plan_page(make_plan_of(seasons=1), detail))
    phase = PIPELINE.by_name["precompute"]

    seen.cell("precompute", day).click()

    window = lookback(day, phase)
    assert lit(seen, "lit-above") == len(phase.after) * ((window.end - window.start).days + 1)
    below = [
        d
        for each in PIPELINE.phases
        if phase.name in each.after
        for d in sorted(reach([day], each))
    ]
    assert lit(seen, "lit-below") == len(below) > 0
    panel = seen.page.locator("#panel")
    told = panel.text_content() or ""
    assert "precompute, Tue 1 Mar 2022" in told
    assert "lacks s04, s07" in told
    assert f"{window.start} to {window.end}" in told
    assert "planner explain precompute 2022-03-01" in panel.locator("code").all_text_contents()
    assert seen.page.url.endswith("#phase=precompute&date=2022-03-01")

    # It covers nothing of what is lit
    top = panel.bounding_box()["y"]  # type: ignore[index]
    assert all(
        box["y"] + box["height"] <= top for box in boxes(seen, ".lit, .lit-above, .lit-below")
    )

    seen.page.keyboard.press("Escape")
    seen.page.keyboard.press("Escape")
    assert panel.is_hidden()
    assert lit(seen, "lit-above") == 0
    assert "phase" not in seen.page.url


def test_an_address_opens_what_was_chosen(open_page: Open) -> None:
    seen = open_page(
        make_report(seasons=2), address="#phase=analytics&date=2022-12-11&show=partial"
    )

    told = seen.page.locator("#panel").text_content() or ""
    assert "analytics, Sun 11 Dec 2022" in told
    assert "planner retry run-20261123-k7xq3w --phase analytics --dates 2022-12-11" in told
    assert "planner logs run-20261123-k7xq3w" in told
    assert seen.page.locator("[data-show=partial]").get_attribute("aria-pressed") == "true"
    assert seen.count("partial") > 0
    assert seen.page.locator(".cells > .s-partial.dim").count() == 0
    assert seen.page.locator(".cells > .s-complete:not(.dim)").count() == 0
    seen.page.locator("[data-show=partial]").click()
    assert seen.page.locator(".cells > .dim").count() == 0


def test_an_id_finds_the_dates_that_lack_it(open_page: Open) -> None:
    days = (date(2022, 4, 16), date(2022, 6, 16))
    plan = make_plan_of(seasons=1)
    details = [
        Detail(phase="analytics", date=d, text="short", ids=(ID, "x"), unnamed=3) for d in days
    ]
    seen = open_page(plan_page(plan, *details, Detail(phase="grading", date=days[0], text=HOSTILE)))
    box = seen.page.get_by_role("searchbox")

    box.fill(ID)

    found = seen.page.locator("#found")
    assert found.locator("button").all_text_contents() == [f"analytics {d}" for d in days]
    bare = sum(
        each.days
        for days in plan.days_before.phases.values()
        for each in days
        if each.state is GapReason.MISSING
    )
    told = f"{bare} dates hold nothing, and lack all that is due: planner gaps --entities names"
    assert f"2 dates lack more ids than are named here; {told}" in found.inner_text()
    found.locator("button").last.click()
    assert seen.focused.startswith("analytics, Thu 16 Jun 2022")
    assert f"find={ID}" in seen.page.url
    box.fill(HOSTILE)
    assert "No date is known here to lack" in (found.text_content() or "")
    assert seen.page.evaluate("window.hits") == 0


def test_a_report_that_names_no_ids_says_who_does(open_page: Open) -> None:
    page = open_page(make_report(seasons=1, fails=True)).page
    assert page.locator("#find").is_hidden()
    assert "planner gaps --entities names them" in page.locator("#no-ids").inner_text()


def test_a_report_in_which_nothing_is_short_speaks_of_no_ids(open_page: Open) -> None:
    assert open_page(make_report(seasons=1, fails=False)).page.locator("#no-ids").is_hidden()


def test_a_report_finds_the_ids_that_it_names(open_page: Open) -> None:
    report = make_report(seasons=1, fails=True)
    lost = Short(phase="grading", date=date(2022, 4, 16), reason="partial", expected=5, found=2)
    short = (lost.model_copy(update={"detail": "short", "lacks": (ID,), "unnamed": 2}),)
    told = report.validation.model_copy(update={"short": short})
    page = open_page(report.model_copy(update={"validation": told})).page
    assert page.locator("#no-ids").is_hidden()
    page.get_by_role("searchbox").fill(ID)
    assert page.locator("#found button").all_text_contents() == ["grading 2022-04-16"]
    assert "1 date lacks more ids than are named here:" in page.locator("#found").inner_text()


# -- a year ----------------------------------------------------------------------------------


def coarse() -> tuple[Pipeline, Plan]:
    """A daily source, a weekly phase and a monthly one, each short on one of its dates."""
    weekly = eg.phase("weekly", "raw", every="week")
    of = eg.pipeline(
        eg.phase("raw"), weekly, eg.phase("monthly", "raw", every="month", dated="last")
    )
    scope = eg.window(0, 365)
    cover = eg.covered(of, scope.days())
    for name, lost in (("weekly", eg.day(7)), ("monthly", date(2024, 3, 31))):
        dates = {*of.by_name[name].grain.dates(scope)} - {lost}
        eg.empty(cover, name, *({*scope.days()} - dates))
    health = eg.assessed(of, cover, scope)
    repair = choose(of, health, scope=scope, phases=["weekly", "monthly"])
    chunks = chunk(of, repair.todo, set(), size=1)
    return of, make_plan(of, health, repair, chunks, warehouse="local:/srv/shop", scope=scope)


def test_weeks_and_months_span_their_days_and_a_year_fits(open_page: Open) -> None:
    of, plan = coarse()
    seen = open_page(
        render_plan(plan, of, command=COMMAND), viewport={"width": 1280, "height": 800}
    )

    def width(phase: str, day: date) -> float:
        box = seen.cell(phase, day).bounding_box()
        assert box is not None
        return box["width"]

    one = width("raw", date(2024, 3, 5))
    assert width("weekly", eg.day(7)) == pytest.approx(7 * one, abs=1)
    assert width("monthly", date(2024, 3, 31)) == pytest.approx(31 * one, abs=1)
    assert seen.cell("monthly", date(2024, 3, 31)).get_attribute("class") == "cell s-missing"

    # The days that a month is computed from are lit, and the whole year is in sight
    seen.cell("monthly", date(2024, 3, 31)).click()
    assert lit(seen, "lit-above") == 31
    seen.cell("raw", date(2024, 3, 5)).click()
    assert lit(seen, "lit-below") == 2
    pan = seen.page.locator(".pan").first
    assert pan.evaluate("node => node.scrollWidth <= node.clientWidth")


def test_where_a_year_does_not_fit_the_newest_days_are_in_sight_with_a_cue(open_page: Open) -> None:
    of, plan = coarse()
    seen = open_page(render_plan(plan, of, command=COMMAND), viewport={"width": 390, "height": 800})

    frame = seen.page.locator(".frame").first
    frame.scroll_into_view_if_needed()
    seen.page.wait_for_selector(".frame.more-left:not(.more-right)")
    assert seen.cell("raw", date(2024, 12, 31)).bounding_box()["x"] < 390  # type: ignore[index]
    frame.locator(".pan").evaluate("node => { node.scrollLeft = 300; }")
    seen.page.wait_for_selector(".frame.more-left.more-right")
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 390


def many_cells() -> Report:
    """Twelve phases over five years, with something on every third day."""
    seasons = tuple(
        Season(name=str(y), year=y, start=date(y, 1, 1), end=date(y, 12, 31))
        for y in range(2020, 2025)
    )
    window = Window(start=seasons[0].start, end=seasons[-1].end)
    states = (COMPLETE, GapReason.MISSING, COMPLETE, GapReason.PARTIAL, COMPLETE)
    days = [
        Stretch(window.start + n * DAY, 1, states[n % len(states)], 8, 8 * (n % 2))
        for n in range((window.end - window.start).days + 1)
    ]
    snapshot = Snapshot(window=window, phases={f"phase-{n}": tuple(days) for n in range(12)})
    more = {"seasons": seasons, "days_before": snapshot, "days_after": snapshot, "criteria": ()}
    return make_report(seasons=1).model_copy(update=more)


@pytest.mark.slow
def test_twenty_thousand_cells_are_drawn_at_once_and_scroll_smoothly(open_page: Open) -> None:
    seen = open_page(many_cells())
    assert seen.cells.count() == 12 * 1827

    spent = seen.page.evaluate("performance.getEntriesByName('drawn')[0].duration")
    found = seen.page.evaluate(
        """() => new Promise((resolve) => {
            const times = [];
            const step = (now) => {
                times.push(now);
                scrollBy(0, 60);
                if (times.length < 60) requestAnimationFrame(step);
                else resolve(times.slice(1).map((each, n) => each - times[n]));
            };
            requestAnimationFrame(step);
        })"""
    )
    frames = sorted(found)

    print(
        f"drawn in {spent:.0f} ms; frames: median {frames[29]:.1f} ms, longest {frames[-1]:.1f} ms"
    )
    assert spent < DRAW_MILLISECONDS
    assert frames[len(frames) * 9 // 10] <= FRAME_MILLISECONDS


# -- everyone --------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", ["before", "after"])
def test_axe_finds_nothing_serious(open_page: Open, kind: str, scheme: str) -> None:
    page = plan_page(make_plan_of(seasons=1)) if kind == "before" else make_report(seasons=1)
    seen = open_page(page, color_scheme=scheme, address="#phase=analytics&date=2022-04-16")

    assert serious(seen) == []


def test_forced_colours_and_paper_keep_what_tells_states_apart(open_page: Open) -> None:
    seen = open_page(make_report(seasons=2), forced_colors="active")
    image = "getComputedStyle(document.querySelector('.cells > .s-partial')).backgroundImage"
    assert "gradient" in seen.page.evaluate(image)

    seen.page.emulate_media(media="print")
    assert "gradient" in seen.page.evaluate(image)
    assert seen.page.locator("#switch").is_hidden()
    assert seen.page.evaluate("document.querySelector('.pan').scrollWidth") <= 1440


def test_details_of_a_count_name_what_lacks_and_why_it_is_left() -> None:
    of = eg.pipeline(eg.phase("raw"), eg.phase("a", "raw"))
    cover = eg.covered(of, eg.days(0, 9))
    eg.empty(cover, "a", eg.day(3))

    found = details_of(eg.assessed(of, cover, eg.window(0, 9)))

    (one,) = [each for each in found if each.date == eg.day(3)]
    assert (one.phase, one.text) == ("a", "shop.a holds 0 of 4 orders")
    assert [each.phase for each in shapes(of)] == ["raw", "a"]
