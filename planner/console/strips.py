"""Strips of days on a terminal, as `planner gaps` and `planner watch` show them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date

from rich.text import Text

from planner.console.output import out
from planner.gaps.snapshot import Snapshot
from planner.pipeline.calendar import Calendar
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Window
from planner.report.strip import NOTHING, WHOLE, Mark, Pair, Strip, strip

NAME_CHARS = 16  # of a phase; longer ones are cut
WIDTH_MOST = 122  # marks in a row: more cannot be followed by eye
STRIPS_SHOWN = 3  # seasons, the newest ones with something to see


def strip_lines(
    pipeline: Pipeline,
    snapshot: Snapshot,
    window: Window,
    *,
    plain: bool = False,
    over: Mapping[Pair, Mark] | None = None,
) -> Iterator[Text]:
    """A strip for each of the newest seasons in which not everything is complete.

    `plain` draws with ASCII alone, and so does a terminal that has nothing else.
    """
    plain = plain or not (out.encoding or "").lower().startswith("utf")
    width = min(WIDTH_MOST, max(20, out.width - NAME_CHARS - 1))
    found = []

    def date_of(phase: str, day: date) -> date:
        known = pipeline.by_name.get(phase)
        return known.grain.date_of(day) if known else day

    for season in Calendar(pipeline=pipeline).seasons(window):
        common = season.common(window)
        drawn = strip(snapshot, common, width=width, date_of=date_of, over=over) if common else None
        if drawn is not None and set(drawn.marks) - {WHOLE, NOTHING}:
            found.append((season.name, drawn))
    for name, drawn in found[-STRIPS_SHOWN:]:
        yield from _lines(name, drawn, plain=plain)
    if found:
        yield _legend([drawn for _, drawn in found[-STRIPS_SHOWN:]], plain=plain)


def _lines(name: str, drawn: Strip, *, plain: bool) -> Iterator[Text]:
    each = "" if drawn.days_each == 1 else f", {drawn.days_each} days a mark, the worst of them"
    yield Text(f"{name}: {drawn.window.start} to {drawn.window.end}{each}", style="bold")
    yield Text(f"{'':{NAME_CHARS}} {drawn.months}", style="dim")
    for phase, marks in drawn.rows.items():
        line = Text(f"{_cut(phase):{NAME_CHARS}} ")
        for mark in marks:
            line.append(mark.plain if plain else mark.block, style=mark.style)
        yield line


def _cut(name: str) -> str:
    return name if len(name) <= NAME_CHARS else f"{name[: NAME_CHARS - 2]}.."


def _legend(drawn: list[Strip], *, plain: bool) -> Text:
    marks = dict.fromkeys(mark for each in drawn for mark in each.marks)
    line = Text()
    for mark in marks:
        line.append(mark.plain if plain else mark.block, style=mark.style)
        line.append(f" {mark.word}   ", style="dim")
    return line
