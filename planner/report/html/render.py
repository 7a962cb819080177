"""The report as one HTML page: no network, no dependency, nothing of the data can run.

Tables and the timeline are rendered here and escaped; the heat-maps are drawn by the page's
own script from a block of JSON. A policy with the hashes of that script and of the style
allows nothing else to run, or to be loaded.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from string import Template

from planner.plan.states import RunState, StepState
from planner.report.html import tables
from planner.report.html.heatmap import Pictures, legend, maps, pictures_of
from planner.report.html.markup import Markup, el, join
from planner.report.html.moment import data_script
from planner.report.html.timeline import timeline
from planner.report.report import (
    Report,
    billed_lines,
    change_lines,
    code_lines,
    keep_lines,
    loss_lines,
    publication_lines,
    remark_lines,
    verdict,
)
from planner.text import duration, moment

HERE = Path(__file__).parent
NOTHING = Markup("")
ALL_RUNS = el("a", "All runs", href="/")
"""From a page of `planner serve` to its list."""
MARKS = {"complete": "✓", "failed": "✕", "cancelled": "■"}


def render_page(report: Report, *, is_served: bool = False) -> str:
    """The whole page. Where it is served, it leads back to the list of runs."""
    return page(
        pictures_of(report),
        who="The run",
        title=f"Backfill {report.run_id}: {report.state}",
        header=_header(report, is_served=is_served),
        figures=_figures(report),
        alerts=_failures(report),
        sections=[
            _criteria(report),
            _publication(report),
            section("matrix", "Complete dates, before and after", tables.matrices(report)),
            section("steps", "Steps and durations", tables.durations(report)),
            section("time", "Who did what, when", timeline(report)),
            section("next", "Next steps", tables.next_list(report)),
        ],
    )


def page(
    shown: Pictures,
    *,
    who: str,
    title: str,
    header: Markup,
    figures: Markup,
    sections: Iterable[Markup],
    alerts: Markup = NOTHING,
) -> str:
    """A page around the calendars of `shown`: `alerts` stand above them, `sections` below."""
    is_live = shown.live is not None
    return Template(_text("page.html")).substitute(
        policy=policy(is_live=is_live),
        style=_text("page.css"),
        script=_script(is_live=is_live),
        title=join([title]),
        header=header,
        figures=figures,
        alerts=alerts,
        calendar=_calendar(shown, who),
        sections=join(sections),
        data=data_script(shown),
    )


def _calendar(shown: Pictures, who: str) -> Markup:
    if not shown.phases:
        return NOTHING
    text = Template(_text("calendar.html")).substitute(
        switch=_switch(shown), legend=legend(shown), maps=_maps_note(shown, who)
    )
    return Markup(text)


def section(name: str, title: str, *content: Markup) -> Markup:
    """A section of a page; `name` is its anchor."""
    return el("section", el("h2", title, id=name), *content, aria_labelledby=name)


def _switch(shown: Pictures) -> Markup:
    """The buttons that show one picture or the other; the one that is shown first is pressed."""
    titles = {
        "before": ("Now", "As planned"),
        "during": ("Before", "Now"),
        "after": ("Before", "After"),
    }[shown.moment]
    is_before = shown.moment == "before"
    return join(
        el("button", title, type="button", id=name, aria_pressed=str(is_first).lower())
        for name, title, is_first in zip(
            ("before", "after"), titles, (is_before, not is_before), strict=True
        )
    )


def policy(*, is_live: bool) -> str:
    """What a page may do: run its own script, have its own style, and load nothing. A live one may
    hear how its run goes on, from where it was served."""
    script, style = _script(is_live=is_live), _text("page.css")
    hears = "connect-src 'self'; " if is_live else ""
    return (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        f"{hears}img-src data:; base-uri 'none'; form-action 'none'"
    )


def _script(*, is_live: bool) -> str:
    return _text("page.js") + (_text("live.js") if is_live else "")


@cache
def _text(file: str) -> Markup:
    return Markup((HERE / file).read_text(encoding="utf-8"))


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def over(text: str, *, is_served: bool) -> Markup:
    """The line above a page's title."""
    back = [ALL_RUNS, " · "] if is_served else []
    return el("p", *back, text, class_="over")


def _header(report: Report, *, is_served: bool) -> Markup:
    facts = [
        ("pipeline", report.pipeline),
        ("scope", f"{report.scope.start} to {report.scope.end}"),
        ("warehouse", report.warehouse),
        ("plan", report.plan_id),
        ("ended", f"{moment(report.ended)}, after {duration(report.ended - report.created)}"),
    ]
    if report.reason:
        facts.insert(0, ("reason", report.reason))
    if report.commands:
        facts.insert(0, ("asked by", report.commands[0].line))
    facts += [("billed", line.removeprefix("billed: ")) for line in billed_lines(report)]
    facts += [("kept", line.removeprefix("kept: ")) for line in keep_lines(report)]
    facts += [("code", line.removeprefix("code: ")) for line in code_lines(report)]
    look = "good" if report.state == RunState.COMPLETE else "bad"
    return join(
        [
            *(el("p", line, class_="lost") for line in loss_lines(report)),
            over("Backfill report", is_served=is_served),
            el(
                "h1",
                el("span", report.run_id),
                el("span", f"{MARKS.get(report.state, '')} {report.state}", class_=f"badge {look}"),
            ),
            el("p", verdict(report), class_="verdict"),
            *(
                el("p", note, class_="quiet")
                for note in (*report.notes, *change_lines(report), *remark_lines(report))
            ),
            el("dl", *(el("div", el("dt", key), el("dd", value)) for key, value in facts)),
        ]
    )


def _figures(report: Report) -> Markup:
    check = report.validation
    succeeded = sum(row.state == StepState.SUCCEEDED for row in report.steps)
    undone = sum(len(failure.dates) for failure in report.failures)
    figures = [
        (f"{check.checked - len(check.short):,}", f"of {check.checked:,} phase-dates repaired", ""),
        (f"{succeeded:,}", f"of {len(report.steps):,} steps succeeded", ""),
        (f"{undone:,}", "phase-dates not done", "bad" if undone else ""),
        (f"{check.remaining:,}", "other gaps in scope", ""),
        (duration(report.ended - report.created), "from start to end", ""),
    ]
    return join(
        el("li", el("b", value), el("span", label), class_=look or None)
        for value, label, look in figures
    )


def _failures(report: Report) -> Markup:
    parts = []
    if report.failures:
        parts.append(tables.failures(report))
    if report.validation.short:
        parts.append(tables.short(report))
    if not parts:
        return NOTHING
    return el("section", el("h2", "Not repaired"), *parts, aria_label="Not repaired")


def _criteria(report: Report) -> Markup:
    if not report.criteria:
        return NOTHING
    return section("criteria", "Success criteria", tables.criteria(report))


def _publication(report: Report) -> Markup:
    if report.publication is None:
        return NOTHING
    lines = [el("li", line) for line in publication_lines(report.publication)]
    return section("published", "Published", el("ul", *lines))


def _maps_note(shown: Pictures, who: str) -> Markup:
    """What stands in the place of the calendars until they are drawn."""
    if not maps(shown):
        return el("p", f"{who} reached no day with anything on it.", class_="quiet")
    return el(
        "noscript",
        el("p", "The calendars need JavaScript; the tables below say the same per season."),
    )
