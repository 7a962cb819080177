"""A restore as one HTML page: what was put back, per phase and table."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from planner.gaps.snapshot import Snapshot
from planner.pipeline.windows import Window
from planner.report.html.heatmap import Pictures
from planner.report.html.markup import Markup, el, join
from planner.report.html.render import page, section
from planner.report.html.tables import row_of, scroll
from planner.report.restored import RestoreReport
from planner.text import counted, date_runs, duration, moment

COLUMNS = ("phase", "table", "dates", "rows before it", "rows now", "which")


def render_restore(report: RestoreReport) -> str:
    """The whole page."""
    ended = datetime.fromtimestamp(report.ended, UTC).date()
    days = [day for each in report.tables for day in each.dates] or [ended]
    nothing = Snapshot(window=Window(start=min(days), end=max(days)), phases={})
    sections = [section("tables", "What was put back", _tables(report))]
    if report.not_kept:
        sections.append(section("left", "What was not", _list(report.not_kept)))
    if report.to_recompute:
        owed = [f"{phase}: {date_runs(each)}" for phase, each in report.to_recompute.items()]
        told = el(
            "p", "They rest on rows that are gone now: ", el("code", "planner enqueue --gaps")
        )
        sections.append(section("next", "To recompute", told, _list(owed)))
    return page(
        Pictures(entity="", seasons=(), before=nothing, after=nothing),
        who="The restore",
        title=f"Restore of {report.run_id}",
        header=_header(report),
        figures=_figures(report),
        sections=sections,
    )


def _header(report: RestoreReport) -> Markup:
    facts = [
        ("restore of", report.run_id),
        ("pipeline", report.pipeline),
        ("warehouse", report.warehouse),
        ("ended", f"{moment(report.ended)}, after {duration(report.ended - report.begun)}"),
    ]
    if report.asked is not None:
        facts.insert(0, ("asked by", f"{report.asked.line}: {report.asked.text}"))
    if report.billed is not None:
        facts.append(("billed", str(report.billed)))
    verdict = (
        f"{counted(report.phase_dates, 'phase-date')} of {report.run_id} hold what they held "
        "before it, by count and by ids."
    )
    return join(
        [
            el("p", "Restore", class_="over"),
            el(
                "h1",
                el("span", report.restore_id),
                el("span", "✓ restored", class_="badge good"),
            ),
            el("p", verdict, class_="verdict"),
            el("dl", *(el("div", el("dt", key), el("dd", value)) for key, value in facts)),
        ]
    )


def _figures(report: RestoreReport) -> Markup:
    figures = [
        (f"{report.phase_dates:,}", "phase-dates are as they were"),
        (f"{len(report.tables):,}", "tables, one commit each"),
        (f"{sum(each.rows for each in report.tables):,}", "rows on them now"),
    ]
    return join(el("li", el("b", value), el("span", label)) for value, label in figures)


def _tables(report: RestoreReport) -> Markup:
    rows = []
    for each in report.tables:
        counts = (len(each.dates), each.rows_before, each.rows)
        cells = [el("th", each.phase, scope="row"), el("td", each.table)]
        cells += [el("td", f"{count:,}", class_="n") for count in counts]
        rows.append(el("tr", *cells, el("td", date_runs(each.dates))))
    head = el("thead", row_of("th", *COLUMNS))
    return scroll(el("table", head, el("tbody", *rows), class_="plain"))


def _list(lines: Iterable[str]) -> Markup:
    return el("ul", *(el("li", line) for line in lines))
