"""The report of a run: what was asked, what happened, before and after, and what remains."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from typing import Any

from pydantic import BaseModel, ConfigDict

from planner.matrix import Matrix
from planner.pipeline import Window

DATES_SHOWN = 10  # of a long list; the JSON has them all


class Part(BaseModel):
    """A part of the report."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Short(Part):
    """A phase and date that is short after the run."""

    phase: str
    date: date
    reason: str
    expected: int
    found: int


class Validation(Part):
    """The recount of the plan's scope and its cascade, after every step has settled."""

    passed: bool
    """Whether every date that the plan took is complete now."""
    checked: int
    """Phases and dates that the plan took."""
    short: tuple[Short, ...]
    """Those of them that are not complete."""
    remaining: int
    """Gaps in the scope that the plan did not take."""


class Failure(Part):
    """Dates of a phase that are not repaired, for one reason."""

    phase: str
    dates: tuple[date, ...]
    state: str
    reason: str
    retry: str
    """The command that tries them again."""


class StepRow(Part):
    """One step as it went."""

    id: str
    phase: str
    dates: tuple[date, ...]
    state: str
    worker: str
    attempt: int
    started: float | None
    """Seconds since the epoch."""
    ended: float | None
    error: str

    @property
    def seconds(self) -> float | None:
        if self.started is None or self.ended is None:
            return None
        return max(0.0, self.ended - self.started)


class Report(Part):
    """Everything there is to say about an ended run."""

    run_id: str
    plan_id: str
    pipeline: str
    warehouse: str
    entity: str
    state: str
    reason: str
    scope: Window
    created: float
    started: float | None
    ended: float
    steps: tuple[StepRow, ...]
    validation: Validation
    failures: tuple[Failure, ...]
    left_alone: int
    """Phases and dates that the plan did not take, though short."""
    before: Matrix
    after: Matrix

    def as_json(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


def retry_command(dates: tuple[date, ...]) -> str:
    """What a person types to try some dates again."""
    return f"planner enqueue --gaps --start {dates[0]} --end {dates[-1]}"


def render_markdown(report: Report) -> str:
    """The completion report, for people."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    yield f"# Backfill {report.run_id}: {report.state}"
    yield ""
    yield f"- pipeline: {report.pipeline}"
    yield f"- warehouse: {_code(report.warehouse)}"
    yield f"- scope: {report.scope.start} to {report.scope.end}"
    yield f"- plan: {report.plan_id}"
    if report.reason:
        yield f"- reason: {_plain(report.reason)}"
    yield f"- ended: {_when(report.ended)}, after {duration(report.ended - report.created)}"
    yield ""
    yield from _summary(report)
    yield from _matrices(report)
    yield from _durations(report)
    yield from _failures(report)


def _summary(report: Report) -> Iterator[str]:
    check = report.validation
    yield "## Final validation"
    yield ""
    yield f"**{'Passed' if check.passed else 'Failed'}**: " + (
        f"{check.checked - len(check.short)} of {check.checked} repaired phase-dates are complete "
        f"after a recount; {check.remaining} other gaps remain in scope."
    )
    for short in check.short[:DATES_SHOWN]:
        yield f"- {short.phase} {short.date}: {short.found} of {short.expected} ({short.reason})"
    if len(check.short) > DATES_SHOWN:
        yield f"- … and {len(check.short) - DATES_SHOWN} more"
    if report.left_alone:
        yield f"- {report.left_alone} phase-dates were short and not taken; `planner gaps` says why"
    yield ""


def _matrices(report: Report) -> Iterator[str]:
    phases = list(next(iter(report.after.values()), {}))
    yield f"## Before and after: complete dates of those expected, and {report.entity}s"
    yield ""
    yield "| season | " + " | ".join(phases) + " |"
    yield "|---|" + "---|" * len(phases)
    for name, after in report.after.items():
        before = report.before.get(name, {})
        if not any(count.expected for count in after.values()):
            continue
        cells = [_cell(before.get(phase), after[phase]) for phase in phases]
        yield f"| {name} | " + " | ".join(cells) + " |"
    yield ""


def _cell(before: Any, after: Any) -> str:
    text = f"{after.complete}/{after.expected}"
    if after.entities is not None:
        text += f" ({after.entities})"
    if before is not None and before != after:
        was = f"{before.complete}/{before.expected}"
        if before.entities is not None:
            was += f" ({before.entities})"
        text = f"{was} → {text}"
    return f"{text} {'✓' if after.is_complete else '✗'}"


def _durations(report: Report) -> Iterator[str]:
    yield "## Steps"
    yield ""
    yield "| phase | steps | succeeded | failed | blocked | cancelled | dates | time | workers |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for phase in dict.fromkeys(row.phase for row in report.steps):
        rows = [row for row in report.steps if row.phase == phase]
        states = [row.state for row in rows]
        spent = sum(row.seconds or 0.0 for row in rows)
        cells = [
            phase,
            len(rows),
            *(states.count(state) for state in ("succeeded", "failed", "blocked", "cancelled")),
            sum(len(row.dates) for row in rows),
            duration(spent),
            len({row.worker for row in rows if row.worker}),
        ]
        yield "| " + " | ".join(map(str, cells)) + " |"
    yield ""


def _failures(report: Report) -> Iterator[str]:
    if not report.failures:
        return
    yield "## Not repaired"
    yield ""
    for failure in report.failures:
        shown = ", ".join(map(str, failure.dates[:DATES_SHOWN]))
        more = len(failure.dates) - DATES_SHOWN
        yield f"- **{failure.phase}** {failure.state}: {shown}" + (
            f" and {more} more" if more > 0 else ""
        )
        yield f"  - {_plain(failure.reason)}"
        yield f"  - try again: `{failure.retry}`"
    yield ""


def duration(seconds: float) -> str:
    """`7 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def _when(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _plain(text: str) -> str:
    """Text of others, on one line, that Markdown shows as it is."""
    line = " ".join(text.split())
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>#|!" else c for c in line)


def _code(text: str) -> str:
    return f"`{' '.join(text.replace('`', ' ').split())}`"
