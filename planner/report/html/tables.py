"""The page's tables, which need no JavaScript."""

from __future__ import annotations

from collections.abc import Iterator

from planner.gaps.matrix import Count
from planner.plan.cost import Cost
from planner.report.advice import next_steps
from planner.report.causes import Cause, causes
from planner.report.html.markup import Markup, el, join
from planner.report.report import Report, bare_seasons, billed_phases, phase_times
from planner.text import date_runs, duration

REASON_CHARS = 2000  # the JSON has it whole
OPEN_CAUSES = 8  # more than these are folded
SHORT_SHOWN = 200
CRITERION_LOOK = {"holds": "good", "fails": "bad", "no rows": "bad"}
STATES = ("succeeded", "failed", "blocked", "cancelled")


def failures(report: Report) -> Markup:
    """Every date that is not repaired, by cause, and the command that tries it again."""
    rows = [_cause(cause) for cause in causes(report.run_id, report.failures)]
    head = el("thead", row_of("th", "phase", "state", "dates", "reason, and how to try again"))
    table = el("table", head, el("tbody", *rows[:OPEN_CAUSES]), class_="failures")
    if len(rows) <= OPEN_CAUSES:
        return scroll(table)
    rest = el("table", head, el("tbody", *rows[OPEN_CAUSES:]), class_="failures")
    folded = el("details", el("summary", f"{len(rows) - OPEN_CAUSES} more"), scroll(rest))
    return el("div", scroll(table), folded)


def _cause(cause: Cause) -> Markup:
    reason = cause.reason
    if len(reason) > REASON_CHARS:
        reason = reason[:REASON_CHARS] + " … (report.json has it whole)"
    days = {day for dates in cause.phases.values() for day in dates}
    number = sum(map(len, cause.phases.values()))
    noun = "date" if len(cause.phases) == 1 else "phase-date"
    waiting = [
        el("p", f"not tried for it: {phase}, {_dates(len(dates))}: {date_runs(dates)}")
        for phase, dates in cause.waiting.items()
    ]
    return el(
        "tr",
        el("th", ", ".join(cause.phases), scope="row"),
        el("td", el("span", cause.state, class_="badge bad")),
        el("td", date_runs(days), el("small", _dates(number, noun)), class_="dates"),
        el("td", el("p", reason, class_="reason"), *waiting, el("code", cause.retry)),
    )


def criteria(report: Report) -> Markup:
    """The success criteria, season by season, with the first dates that offend."""
    head = el("thead", row_of("th", "criterion", "season", "status", "expected", "found", "dates"))
    rows = [
        el(
            "tr",
            el("th", row.criterion, scope="row"),
            el("td", row.season),
            el("td", el("span", row.status, class_=f"badge {CRITERION_LOOK.get(row.status, '')}")),
            el("td", f"{row.expected:,}", class_="n"),
            el("td", f"{row.found:,}", class_="n"),
            el("td", date_runs(row.dates) + (" …" if row.offending > len(row.dates) else "")),
        )
        for row in report.criteria
    ]
    return scroll(el("table", head, el("tbody", *rows)))


def short(report: Report) -> Markup:
    """Repaired dates that the recount found short."""
    found = report.validation.short
    rows = [
        el(
            "tr",
            el("th", each.phase, scope="row"),
            el("td", str(each.date)),
            el("td", each.reason),
            el("td", f"{each.found} of {each.expected}", class_="n"),
            el("td", each.detail),
        )
        for each in found[:SHORT_SHOWN]
    ]
    more = len(found) - SHORT_SHOWN
    return el(
        "details",
        el("summary", f"{_dates(len(found), 'phase-date')} short in the recount"),
        scroll(
            el(
                "table",
                el("thead", row_of("th", "phase", "date", "reason", "found", "why")),
                el("tbody", *rows),
            )
        ),
        *(
            [el("p", f"… and {more} more: report.json has them.", class_="quiet")]
            if more > 0
            else []
        ),
    )


def matrices(report: Report) -> Markup:
    """Season × phase: complete dates before → after, of those expected."""
    phases = report.phases
    rows = []
    for name, after in report.after.items():
        if not any(count.expected for count in after.values()):
            continue
        season, _, part = name.partition("/")
        label = part.replace("_", "-") or season
        cells = [
            _count(report.before.get(name, {}).get(phase), after.get(phase, Count()), report.entity)
            for phase in phases
        ]
        look = "part" if part else None
        rows.append(el("tr", el("th", label, scope="row"), *cells, class_=look))
    head = el("thead", row_of("th", "season", *phases))
    parts = [scroll(el("table", head, el("tbody", *rows), class_="matrix"))] if rows else []
    bare = bare_seasons(report)
    if bare:
        text = f"No source holds anything in {', '.join(bare)}: nothing was expected."
        parts.append(el("p", text, class_="quiet after"))
    return join(parts)


def _count(before: Count | None, after: Count, entity: str) -> Markup:
    if not after.expected and not (before and before.expected):
        return el("td", "–", class_="n quiet")
    changed = before is not None and before != after
    parts: list[str] = []
    if before is not None and before.complete != after.complete:
        parts += [el("span", f"{before.complete} → ", class_="was")]
    parts += [el("b", str(after.complete)), f" / {after.expected} "]
    mark = ("✓", "complete") if after.is_complete else ("✗", "not complete")
    parts.append(el("span", mark[0], role="img", aria_label=mark[1], class_="mark"))
    if after.entities is not None:
        was = before.entities if before is not None else None
        text = f"{after.entities:,} {entity}s"
        if changed and was is not None and was != after.entities:
            text = f"{was:,} → {text}"
        parts.append(el("small", text))
    if after.accepted:
        parts.append(el("small", f"{after.accepted:,} accepted"))
    look = "n good" if after.is_complete else "n bad"
    return el("td", *parts, class_=look + (" changed" if changed else ""))


def durations(report: Report) -> Markup:
    """Per phase: how many steps, how they ended, and how long they took."""
    planned = report.estimate is not None
    columns = ["phase", "steps", *STATES, "dates", *(["planned"] if planned else [])]
    billed = billed_phases(report) if report.billed else {}
    columns += ["work", "start to end", "workers", *(["billed"] if billed else [])]
    rows = []
    for time in phase_times(report):
        foreseen = "–" if time.planned is None else duration(time.planned)
        cells = [
            str(time.steps),
            *(str(time.states.get(state, 0) or "–") for state in STATES),
            str(time.dates),
            *([foreseen] if planned else []),
            duration(time.work),
            duration(time.span),
            str(time.workers),
            *([_price(report, billed.get(time.phase, 0))] if billed else []),
        ]
        rows.append(
            el("tr", el("th", time.phase, scope="row"), *(el("td", c, class_="n") for c in cells))
        )
    return scroll(
        el("table", el("thead", row_of("th", *columns)), el("tbody", *rows), class_="plain")
    )


def _price(report: Report, billed: int) -> str:
    """What so many of the bytes that were billed came to."""
    if report.billed is None or not billed:
        return "–"
    dollars = report.billed.dollars * billed / report.billed.bytes
    return str(Cost(bytes=billed, dollars=dollars))


def next_list(report: Report) -> Markup:
    """What is left to do."""
    return el("ol", *_next(report), class_="next")


def _next(report: Report) -> Iterator[Markup]:
    for step in next_steps(report):
        yield el("li", step.text, *([el("code", step.command)] if step.command else []))


def row_of(name: str, *cells: str) -> Markup:
    """A row of head cells."""
    return el("tr", *(el(name, cell, scope="col") for cell in cells))


def scroll(table: Markup) -> Markup:
    """A table that scrolls where the page is too narrow for it."""
    return el("div", table, class_="scroll")


def _dates(n: int, noun: str = "date") -> str:
    return f"{n:,} {noun}" + ("" if n == 1 else "s")
