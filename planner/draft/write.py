"""Writes the draft of a pipeline file, with what was guessed said beside it. Pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date

from planner.draft.compare import Shared, compared, shared
from planner.draft.look import RECENT_DAYS, Found
from planner.draft.order import Drafted
from planner.text import printable

WARM_UP_MOST = 60  # days from the first rows of a source to those of a phase below


def draft(name: str, phases: Sequence[Drafted], left: Sequence[Found], *, zone: str = "UTC") -> str:
    """The pipeline file of some phases; `left` are tables that are left out, each with why."""
    by_name = {phase.name: phase for phase in phases}
    ids = shared([table for phase in phases for table in phase.tables])
    parts = [_head(name, phases, zone)]
    for phase in phases:
        above = [table for parent in phase.after for table in by_name[parent].tables]
        parts.append(_phase(phase, above, ids, _start(phases)))
    if left:
        told = (f"#   {table.name}: {_one_line(table.trouble)}" for table in left)
        parts.append("\n".join(["# Left out:", *told, ""]))
    return "\n".join(parts)


def _head(name: str, phases: Sequence[Drafted], zone: str) -> str:
    start = _start(phases)
    kinds = {t.columns.get(t.day_column or "") for phase in phases for t in phase.tables}
    lines = [
        "# Drafted by `planner init` from what the tables hold: read it, and correct it.",
        "# docs/pipeline-file.md has every key.",
        "",
        f"name = {_text(name)}",
    ]
    if start:
        lines.append(f"start = {start}  # the first day that a source holds rows of")
    if "TIMESTAMP" in kinds or zone != "UTC":
        lines.append(f"timezone = {_text(zone)}  # whose midnights part the days: right?")
    lines.append('# closes_after = "6h"  # how long after midnight rows of a day may still come')
    return "\n".join([*lines, ""])


def _start(phases: Sequence[Drafted]) -> date | None:
    """The first day of any source."""
    sources = [table for phase in phases if not phase.after for table in phase.tables]
    return min((table.first for table in sources if table.first), default=None)


def _phase(phase: Drafted, above: Sequence[Found], ids: dict[str, str], start: date | None) -> str:
    lines = ["[[phases]]", f"name = {_text(phase.name)}"]
    if phase.after:
        lines.append(f"after = [{', '.join(map(_text, phase.after))}]")
        lines.append("# lookback_days = 7  # days before a date that its rows are computed from")
        lines += _warm_up(phase, start)
    for table in phase.tables:
        lines += _table(table, compared(table, above, ids))
    if phase.after:
        lines += _runner(phase)
    return "\n".join([*lines, ""])


def _warm_up(phase: Drafted, start: date | None) -> list[str]:
    """A phase that began later than its source may need days before it."""
    firsts = [table.first for table in phase.tables if table.first]
    if start is None or not firsts or not 0 < (days := (min(firsts) - start).days) <= WARM_UP_MOST:
        return []
    return [
        "# Its first rows are of days after those of its source. Where it needs days before it:",
        "# skips_bootstrap = true",
        f"# bootstrap_days = {days}",
    ]


def _table(table: Found, entities: Sequence[Shared]) -> list[str]:
    days = f"{table.first} to {table.last}" if table.first else "its days are not known"
    lines = ["", "[[phases.tables]]", f"name = {_text(table.name)}  # {days}"]
    lines.append(f"date = {_text(table.day_column or '')}")
    if entities:
        pairs = (f"{each.entity} = {_text(each.column)}" for each in entities)
        lines.append(f"entities = {{ {', '.join(pairs)} }}")
    else:
        lines.append(
            '# entities = { store = "store_id" }  # ids to compare; without, rows are enough'
        )
    fewer = [each for each in entities if each.share < 1]
    if fewer:
        shares = ", ".join(f"{each.entity} = {each.share:.2f}" for each in fewer)
        lines.append(
            f"min_coverage = {{ {shares} }}  # what it held of its upstream on a usual one of its "
            f"last {RECENT_DAYS} days: right?"
        )
    if any(each.has_more for each in entities):
        lines.append("allow_surplus = true  # it holds ids that its upstream does not: right?")
    return lines


def _runner(phase: Drafted) -> list[str]:
    return [
        "",
        "# Without a runner the phase is watched: its gaps are found, and not repaired. Say what",
        "# writes its rows anew for some days, and take the marks away:",
        "# [[phases.runners]]",
        '# kind = "script"',
        f'# command = ["python", "jobs/{phase.name}.py", "--from", "{{start}}", "--to", "{{end}}"]',
        f'# check = ["python", "jobs/{phase.name}.py", "--help"]  # `planner doctor` runs it',
    ]


def _one_line(text: str) -> str:
    """For a comment: the second line of a warehouse's answer would be one of the file."""
    return printable(" ".join(text.split()))


def _text(value: str) -> str:
    """A string as TOML writes it."""
    return json.dumps(value, ensure_ascii=False)
