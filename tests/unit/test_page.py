"""The report's page, before a browser sees it: escaped, sealed, and with every date."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from datetime import date
from html.parser import HTMLParser
from typing import Any

import pytest

from planner.pipeline.windows import Season, Window
from planner.plan.cost import Cost
from planner.report.causes import causes
from planner.report.html.heatmap import maps, pictures_of
from planner.report.html.markup import Markup, el, join
from planner.report.html.render import render_page
from planner.report.report import Report
from tests.reports import make_report

HOSTILE = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(1)>`${alert(1)}\u2028"
DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)


class Tags(HTMLParser):
    """Collects the elements of a page, as a browser reads them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def data_of(page: str) -> Any:
    (text,) = DATA.findall(page)
    return json.loads(text)


def hostile_report() -> Report:
    report = make_report(reason=HOSTILE, error=HOSTILE)
    return report.model_copy(
        update={
            "entity": HOSTILE,
            "warehouse": HOSTILE,
            "failures": tuple(
                failure.model_copy(update={"retry": HOSTILE, "state": HOSTILE})
                for failure in report.failures
            ),
            "steps": tuple(
                step.model_copy(update={"worker": HOSTILE, "state": HOSTILE})
                for step in report.steps
            ),
        }
    )


def test_text_becomes_markup_only_as_the_content_of_an_element() -> None:
    assert el("p", "<b>", title='"') == '<p title="&quot;">&lt;b&gt;</p>'
    assert el("p", el("b", "&"), class_="x", id=None) == '<p class="x"><b>&amp;</b></p>'
    assert join(["<", Markup("<br>")]) == "&lt;<br>"


def test_hostile_text_adds_no_element_and_no_attribute() -> None:
    calm, hostile = Tags(render_page(make_report())), Tags(render_page(hostile_report()))

    assert {tag for tag, _ in hostile.found} == {tag for tag, _ in calm.found}
    assert [tag for tag, _ in hostile.found].count("script") == 2
    names = {name for _, attributes in hostile.found for name in attributes}
    assert not any(name.startswith("on") or name in ("style", "src") for name in names)
    assert [a["href"] for _, a in hostile.found if "href" in a] == ["data:,"]


def test_data_cannot_end_its_script_and_comes_back_as_it_was() -> None:
    page = render_page(hostile_report())
    (text,) = DATA.findall(page)

    assert not set(text) & set("<>&\u2028\u2029")
    assert data_of(page)["failures"][0][2] == HOSTILE
    assert data_of(page)["entity"] == HOSTILE


def test_the_policy_allows_the_pages_own_script_and_style_alone() -> None:
    page = render_page(make_report())
    (policy,) = (a["content"] for tag, a in Tags(page).found if tag == "meta" and "http-equiv" in a)
    (script,) = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)

    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for text in (script, style):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy
    # The policy stands before anything that it is to judge.
    assert page.index("Content-Security-Policy") < page.index("<style>")


def test_every_phase_has_every_day_of_the_reach_before_and_after() -> None:
    report = make_report()
    data = data_of(render_page(report))

    days = (report.days_after.window.end - report.days_after.window.start).days + 1
    for view in ("before", "after"):
        assert len(data[view]["phases"]) == len(report.phases)
        for stretches in data[view]["phases"]:
            assert sum(length for _, length, *_ in stretches) == days


def test_a_heat_map_is_a_season_and_its_named_windows() -> None:
    report = make_report(seasons=2)

    second, first = maps(pictures_of(report))

    assert (first.name, first.window) == (
        "2021-22",
        Window(start=date(2021, 10, 19), end=date(2022, 6, 16)),
    )
    assert list(second.parts) == ["play_in", "playoffs"]


def test_a_reach_within_a_season_draws_only_its_days() -> None:
    report = make_report(seasons=1)
    window = Window(start=date(2022, 4, 1), end=date(2022, 4, 14))
    after = report.days_after.model_copy(update={"window": window})

    (only,) = maps(pictures_of(report.model_copy(update={"days_after": after})))

    assert only.window == window
    assert only.parts == {"play_in": Window(start=date(2022, 4, 12), end=date(2022, 4, 14))}


def test_a_season_of_years_is_drawn_year_by_year() -> None:
    whole = Season(name="all", year=2021, start=date(2021, 10, 19), end=date(2025, 6, 22))

    found = maps(pictures_of(make_report().model_copy(update={"seasons": (whole,)})))

    assert [each.name for each in found] == [f"all, {year}" for year in range(2025, 2020, -1)]
    assert found[-2].window == Window(start=date(2022, 1, 1), end=date(2022, 12, 31))
    assert found[0].window.end == date(2025, 6, 22)


def test_days_outside_the_seasons_are_drawn_when_something_is_there() -> None:
    report = make_report(seasons=2)

    found = maps(pictures_of(report.model_copy(update={"seasons": report.seasons[1:]})))

    assert [each.name for each in found] == ["2022-23", "outside the seasons"]
    assert found[1].window.start == date(2021, 10, 19)


def test_the_tables_and_the_timeline_stand_there_without_a_script() -> None:
    report = make_report()
    page = render_page(report)
    tags = Tags(page).found

    for cause in causes(report.run_id, report.failures):
        assert cause.retry in page
    assert sum(a.get("role") == "listitem" for _, a in tags) == sum(
        step.started is not None for step in report.steps
    )
    assert "162 → </span><b>212</b> / 212" in page
    assert "<noscript>" in page


def test_planned_times_stand_beside_when_there_are_any() -> None:
    report = make_report()

    assert "planned</th>" not in render_page(report)
    estimated = report.model_copy(update={"estimate": {"analytics": 600.0}})
    assert "planned</th>" in render_page(estimated)


@pytest.mark.parametrize("steps", [0, 1])
def test_a_run_of_next_to_nothing_has_a_page(steps: int) -> None:
    report = make_report(seasons=1)
    nothing = report.model_copy(
        update={"steps": report.steps[:steps], "failures": (), "seasons": (), "after": {}}
    )

    assert "</html>" in render_page(nothing)


def test_the_success_criteria_stand_there_with_the_dates_that_offend() -> None:
    report = make_report(seasons=2)
    offended = next(row for row in report.criteria if row.offending)

    page = render_page(report)

    title = '<h2 id="criteria">Success criteria</h2>'
    section = page.partition(title)[2].partition("</section>")[0]
    assert section.count('<th scope="row">') == len(report.criteria)
    assert str(offended.dates[0]) in section


def test_without_criteria_there_is_no_section_for_them() -> None:
    page = render_page(make_report(seasons=1).model_copy(update={"criteria": ()}))

    assert "Success criteria" not in page


def test_the_report_has_the_price_of_each_phase() -> None:
    report = make_report(seasons=1)
    steps = tuple(
        step.model_copy(update={"billed": (1 << 20) * (step.phase == "grading")})
        for step in report.steps
    )
    billed = sum(step.billed for step in steps)
    cost = Cost(bytes=2 * billed, dollars=4.0)  # half of it for the counts at the end

    page = render_page(report.model_copy(update={"steps": steps, "billed": cost}))

    assert f"{billed >> 20}.0 MiB ($2.0000)" in page
    assert ">billed</th>" in page
    assert ">billed</th>" not in render_page(report)
