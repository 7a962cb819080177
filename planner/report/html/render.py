"""The report as one HTML page: no network, no dependency, nothing of the data can run.

Tables and the timeline are rendered here and escaped; the heat-maps are drawn by the page's
own script from a block of JSON. A policy with the hashes of that script and of the style
allows nothing else to run, or to be loaded.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from string import Template

from planner.report.html import tables
from planner.report.html.heatmap import Pictures, data_script, legend, maps, pictures_of
from planner.report.html.markup import Markup, el, join
from planner.report.html.timeline import timeline
from planner.report.report import (
    Report,
    code_lines,
    loss_lines,
    publication_lines,
    remark_lines,
    verdict,
)
from planner.text import duration, moment

HERE = Path(__file__).parent
MARKS = {"complete": "✓", "failed": "✕", "cancelled": "■"}


def render_page(report: Report) -> str:
    """The whole page."""
    shown = pictures_of(report)
    return fill(
        "page.html",
        title=join([f"Backfill {report.run_id}: {report.state}"]),
        header=_header(report),
        figures=_figures(report),
        failures=_failures(report),
        criteria=_criteria(report),
        publication=_publication(report),
        legend=legend(shown),
        maps=maps_note(shown, "The run"),
        matrices=tables.matrices(report),
        durations=tables.durations(report),
        timeline=timeline(report),
        next=tables.next_list(report),
        data=data_script(shown),
    )


def fill(name: str, **parts: Markup) -> str:
    """A page of this folder with its parts, the style and the script that all pages share."""
    style, script, page = (
        (HERE / file).read_text(encoding="utf-8") for file in ("page.css", "page.js", name)
    )
    return Template(page).substitute(
        policy=_policy(script=script, style=style),
        style=Markup(style),
        script=Markup(script),
        **parts,
    )


def _policy(*, script: str, style: str) -> str:
    return (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(style)}'; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _header(report: Report) -> Markup:
    facts = [
        ("pipeline", report.pipeline),
        ("scope", f"{report.scope.start} to {report.scope.end}"),
        ("warehouse", report.warehouse),
        ("plan", report.plan_id),
        ("ended", f"{moment(report.ended)}, after {duration(report.ended - report.created)}"),
    ]
    if report.reason:
        facts.insert(0, ("reason", report.reason))
    facts += [("code", line.removeprefix("code: ")) for line in code_lines(report)]
    look = "good" if report.state == "complete" else "bad"
    return join(
        [
            *(el("p", line, class_="lost") for line in loss_lines(report)),
            el("p", "Backfill report", class_="over"),
            el(
                "h1",
                el("span", report.run_id),
                el("span", f"{MARKS.get(report.state, '')} {report.state}", class_=f"badge {look}"),
            ),
            el("p", verdict(report), class_="verdict"),
            *(el("p", note, class_="quiet") for note in (*report.notes, *remark_lines(report))),
            el("dl", *(el("div", el("dt", key), el("dd", value)) for key, value in facts)),
        ]
    )


def _figures(report: Report) -> Markup:
    check = report.validation
    succeeded = sum(row.state == "succeeded" for row in report.steps)
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
        return Markup("")
    return el("section", el("h2", "Not repaired"), *parts, aria_label="Not repaired")


def _criteria(report: Report) -> Markup:
    if not report.criteria:
        return Markup("")
    title = el("h2", "Success criteria", id="criteria")
    return el("section", title, tables.criteria(report), aria_labelledby="criteria")


def _publication(report: Report) -> Markup:
    if report.publication is None:
        return Markup("")
    lines = [el("li", line) for line in publication_lines(report.publication)]
    title = el("h2", "Published", id="published")
    return el("section", title, el("ul", *lines), aria_labelledby="published")


def maps_note(shown: Pictures, who: str) -> Markup:
    """What stands in the place of the calendars until they are drawn."""
    if not maps(shown):
        return el("p", f"{who} reached no day with anything on it.", class_="quiet")
    return el(
        "noscript",
        el("p", "The calendars need JavaScript; the tables below say the same per season."),
    )
