"""Accepted losses on the command line: the block that accepts gaps, and those that are accepted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import date
from typing import Any

from planner.gaps.gaps import SHORT, Assessment, Gap, GapReason
from planner.pipeline.lookback import upstream
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Window
from planner.text import date_ranges, date_runs

REASON = "say why the rows cannot come any more"
LATE = "# Late: these rows may still come. Accept them only where they never will."


def accept_blocks(pipeline: Pipeline, found: list[Gap]) -> str:
    """`[[accept]]` for each loss among the gaps, in TOML; dates that lack the same ids together.

    A date that rests on one that is short needs no block of its own: what is lost above is not
    expected of it, and it can be repaired then. Flaws, orphans and dates to recompute are
    no losses. What is late may still come, and a comment says so.
    """
    short = {(gap.phase, gap.date) for gap in found if gap.reason in SHORT}

    def is_root(gap: Gap) -> bool:
        phase = pipeline.by_name[gap.phase]
        above = {(name, gap.date) for name in pipeline.ancestors[gap.phase]}
        return short.isdisjoint(above.union(upstream(gap.date, phase)))

    groups: dict[tuple[str, tuple[str, ...], bool], list[date]] = {}
    for gap in found:
        if gap.reason in SHORT and is_root(gap):
            is_late = gap.reason is GapReason.LATE
            groups.setdefault((gap.phase, _ids(gap), is_late), []).append(gap.date)
    return "\n".join(_block(*group, dates) for group, dates in groups.items())


def _ids(gap: Gap) -> tuple[str, ...]:
    """The ids that a date lacks, where they are all that it lacks and every one is known.

    None where a table is empty, and where one is short of several entities: a gap names the ids
    of one.
    """
    lacking = [finding for finding in gap.findings if finding.reason in SHORT]
    if not all(
        each.found and each.apart == len(each.ids) > 0 and not each.others for each in lacking
    ):
        return ()
    return tuple(sorted({an_id for each in lacking for an_id in each.ids}))


def _block(phase: str, ids: tuple[str, ...], is_late: bool, dates: list[date]) -> str:
    lines = [LATE] if is_late else []
    lines += ["[[accept]]", f"phase = {_text(phase)}", f"dates = {_text(date_runs(dates))}"]
    if ids:
        lines.append(f"ids = [{', '.join(map(_text, ids))}]")
    return "\n".join([*lines, f"reason = {_text(REASON)}", ""])


def _text(value: str) -> str:
    """As a basic string of TOML, whose escapes are those of JSON but for DEL."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def accepted_lines(assessment: Assessment, scope: Window) -> Iterator[str]:
    """What is accepted in the scope, a line per phase and reason."""
    groups: dict[tuple[str, str, date | None], list[date]] = {}
    for phase, days in assessment.accepted.items():
        for day, each in sorted(days.items()):
            if day in scope:
                groups.setdefault((phase, each.reason, each.until), []).append(day)
    for (phase, reason, until), dates in groups.items():
        end = f", until {until}" if until else ""
        count = len(dates)
        yield f"accepted: {phase}: {count} {date_ranges(dates)}: {reason}{end}"


def needless_lines(pipeline: Pipeline, assessment: Assessment, scope: Window) -> Iterator[str]:
    """Blocks that accept dates of the scope which lack nothing: a later loss would be hidden."""
    for n, loss in enumerate(pipeline.accept, start=1):
        parts = [part for each in loss.dates if (part := scope.common(each)) is not None]
        whole = assessment.complete[loss.phase] - set(assessment.accepted.get(loss.phase, ()))
        days = {day for part in parts for day in part.days() if day in whole}
        if days:
            yield f"accept[{n}]: {loss.phase} lacks nothing on {date_ranges(days)}: take them out"


def accepted_json(assessment: Assessment, scope: Window) -> list[dict[str, Any]]:
    """The documented shape of `accepted` in `planner gaps --json`."""
    return [
        {
            "phase": phase,
            "date": day,
            "reason": each.gap.reason,
            "expected": each.gap.expected,
            "found": each.gap.found,
            "detail": each.gap.detail,
            "why": each.reason,
            "until": each.until,
        }
        for phase, days in assessment.accepted.items()
        for day, each in sorted(days.items())
        if day in scope
    ]
