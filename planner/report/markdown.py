"""The completion report in Markdown. Text of others is escaped: it shows as it is."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from planner.gaps.matrix import Count
from planner.plan.choices import choice_lines
from planner.report.advice import next_steps
from planner.report.causes import Cause, causes, dates_text
from planner.report.report import (
    Report,
    bare_seasons,
    billed_lines,
    change_lines,
    code_lines,
    command_lines,
    keep_lines,
    loss_lines,
    phase_times,
    publication_lines,
    remark_lines,
    verdict,
)
from planner.text import JOINER, counted, date_runs, duration, moment, printable

SHORT_SHOWN = 10  # dates that the recount found short; what failed lists every date
_LINK = re.compile(r"(?i)(https?|ftp|mailto|xmpp|\bwww)([:.])")
"""What GitHub and others make a link of, wherever it stands: it is none with an escaped sign."""
_MENTION = re.compile(r"@(?=\w)")
"""What they make a mention of, or with a word before it a link. They read it after all escapes, so
that only another character helps."""
STATES = ("succeeded", "failed", "blocked", "cancelled")


def render_markdown(report: Report) -> str:
    """The completion report, for people."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield f"# Backfill {plain(report.run_id)}: {plain(report.state)}"
    yield ""
    for line in loss_lines(report):
        yield f"**{plain(line)}**"
        yield ""
    yield f"- pipeline: {plain(report.pipeline)}"
    yield f"- warehouse: {code(report.warehouse)}"
    yield f"- scope: {report.scope.start} to {report.scope.end}"
    yield f"- plan: {plain(report.plan_id)}"
    if report.reason:
        yield f"- reason: {plain(report.reason)}"
    chosen = choice_lines(report.values, report.pinned)
    lines = (*command_lines(report), *chosen, *code_lines(report), *billed_lines(report))
    for line in (*lines, *keep_lines(report)):
        yield f"- {plain(line)}"
    yield f"- ended: {moment(report.ended)}, after {duration(report.ended - report.created)}"
    yield ""
    yield from _summary(report)
    yield from _notes(report)
    yield from _failures(report)
    yield from _criteria(report)
    yield from _publication(report)
    yield from _matrices(report)
    yield from _durations(report)
    yield from _next(report)


def _summary(report: Report) -> Iterator[str]:
    check = report.validation
    yield "## Final validation"
    yield ""
    yield f"**{'Passed' if check.passed else 'Failed'}**: {verdict(report)}"
    yield ""
    for short in check.short[:SHORT_SHOWN]:
        where = f"{plain(short.phase)} {short.date}"
        yield f"- {where}: {short.found} of {short.expected} ({plain(short.reason)})"
        if short.detail:
            yield f"  - {plain(short.detail)}"
    if len(check.short) > SHORT_SHOWN:
        yield f"- … and {len(check.short) - SHORT_SHOWN} more"
    if report.left_alone:
        yield f"- {report.left_alone} phase-dates were short and not taken; `planner gaps` says why"
    if check.short or report.left_alone:
        yield ""


def _notes(report: Report) -> Iterator[str]:
    lines = [f"note: {note}" for note in report.notes]
    lines += change_lines(report) + remark_lines(report)
    for line in lines:
        yield f"- {plain(line)}"
    if lines:
        yield ""


def _criteria(report: Report) -> Iterator[str]:
    if not report.criteria:
        return
    yield "## Success criteria"
    yield ""
    rows = [
        [
            plain(row.criterion),
            plain(row.season),
            row.status,
            row.expected,
            row.found,
            ", ".join(map(str, row.dates)) + (" …" if row.offending > len(row.dates) else ""),
        ]
        for row in report.criteria
    ]
    columns = ["criterion", "season", "status", "expected", "found", "offending dates"]
    yield from _table(columns, rows)
    yield ""


def _publication(report: Report) -> Iterator[str]:
    if report.publication is None:
        return
    yield "## Published"
    yield ""
    for line in publication_lines(report.publication):
        yield f"- {plain(line)}"
    yield ""


def _failures(report: Report) -> Iterator[str]:
    if not report.failures:
        return
    yield "## Not repaired"
    yield ""
    for cause in causes(report.run_id, report.failures):
        yield f"- {cause_text(cause)}"
        yield f"  - {plain(cause.reason)}"
        for phase, days in cause.waiting.items():
            n = counted(len(days), "date")
            yield f"  - not tried for it: {plain(phase)}, {n}: {date_runs(days)}"
        yield f"  - try again: {code(cause.retry)}"
    yield ""


def cause_text(cause: Cause) -> str:
    """`**grading** failed, 2 dates: 2022-01-03, 2022-01-05`."""
    phases = ", ".join(f"**{plain(phase)}**" for phase in cause.phases)
    return f"{phases} {plain(cause.state)}, {dates_text(cause)}"


def _matrices(report: Report) -> Iterator[str]:
    phases = report.phases
    yield f"## Before and after: complete dates of those expected, and {plain(report.entity)}s"
    yield ""
    rows = [
        [
            plain(name),
            *(
                _cell(report.before.get(name, {}).get(phase), after.get(phase, Count()))
                for phase in phases
            ),
        ]
        for name, after in report.after.items()
        if any(count.expected for count in after.values())
    ]
    yield from _table(["season", *map(plain, phases)], rows)
    yield ""
    bare = bare_seasons(report)
    if bare:
        yield f"No source holds anything in {', '.join(map(plain, bare))}: nothing was expected."
        yield ""


def _cell(before: Count | None, after: Count) -> str:
    text = _count(after)
    if before is not None and before != after:
        text = f"{_count(before)} → {text}"
    return f"{text} {'✓' if after.is_complete else '✗'}"


def _count(count: Count) -> str:
    held = "" if count.entities is None else f" ({count.entities})"
    accepted = f", {count.accepted} accepted" if count.accepted else ""
    return f"{count.complete}/{count.expected}{held}{accepted}"


def _durations(report: Report) -> Iterator[str]:
    planned = report.estimate is not None
    columns = ["phase", "steps", *STATES, "dates", *(["planned"] if planned else [])]
    columns += ["work", "first start to last end", "workers"]
    yield "## Steps and durations"
    yield ""
    rows = [
        [
            plain(row.phase),
            row.steps,
            *(row.states.get(state, 0) for state in STATES),
            row.dates,
            *(["–" if row.planned is None else duration(row.planned)] if planned else []),
            duration(row.work),
            duration(row.span),
            row.workers,
        ]
        for row in phase_times(report)
    ]
    yield from _table(columns, rows, others="---:")
    yield ""


def _next(report: Report) -> Iterator[str]:
    yield "## Next steps"
    yield ""
    for n, step in enumerate(next_steps(report), 1):
        yield f"{n}. {step.text}" + (f" {code(step.command)}" if step.command else "")
    yield ""


def _table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, others: str = "---"
) -> Iterator[str]:
    """A table; `others` aligns every column but the first."""
    yield "| " + " | ".join(columns) + " |"
    yield "|---|" + f"{others}|" * (len(columns) - 1)
    for row in rows:
        yield "| " + " | ".join(map(str, row)) + " |"


def plain(text: str) -> str:
    """Text of others, on one line, that Markdown shows as it is."""
    line = printable(" ".join(text.split()))
    escaped = "".join(f"\\{c}" if c in "\\`*_{}[]<>#|!~&" else c for c in line)
    return _MENTION.sub(f"@{JOINER}", _LINK.sub(r"\1\\\2", escaped))


def code(text: str) -> str:
    """Text of others as code, on one line."""
    return f"`{printable(' '.join(text.replace('`', ' ').split()))}`"
