"""A calendar for a terminal: a strip of days per phase, a mark for each day or for a few. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from planner.gaps.gaps import ANEW, FLAWS, OUTDATED, SHORT, GapReason, SkipReason
from planner.gaps.snapshot import COMPLETE, Snapshot, State
from planner.pipeline.windows import DAY, Window

Pair = tuple[str, date]


class Mark(NamedTuple):
    """How a day is drawn."""

    word: str
    block: str
    plain: str
    """In ASCII."""
    style: str


RUNNING = Mark("running", "▶", ">", "bold blue")
FAILED = Mark("failed", "✗", "X", "bold red")
MISSING = Mark("missing", "░", "m", "red")
PARTIAL = Mark("partial", "▄", "p", "yellow")
FLAWED = Mark("flawed", "▒", "!", "magenta")
STALE = Mark("to recompute", "▞", "c", "magenta")
UNJUDGED = Mark("unjudged", "?", "?", "yellow")
OPEN = Mark("open", "~", "~", "dim")
ACCEPTED = Mark("accepted", "+", "+", "dim")
WHOLE = Mark("complete", "█", "#", "green")
NOTHING = Mark("nothing due", "·", ".", "dim")

MARKS = (
    *(RUNNING, FAILED, MISSING, PARTIAL, FLAWED, STALE),
    *(UNJUDGED, OPEN, ACCEPTED, WHOLE, NOTHING),
)
"""The worst first: it stands for the days that share a mark."""

_SKIPPED: dict[State, Mark] = {
    SkipReason.UNJUDGED: UNJUDGED,
    SkipReason.UPSTREAM_MISSING: UNJUDGED,
    SkipReason.OPEN: OPEN,
    SkipReason.ACCEPTED: ACCEPTED,
}
_RANK = {mark: n for n, mark in enumerate(MARKS)}


@dataclass(frozen=True, kw_only=True)
class Strip:
    """Some days, side by side."""

    window: Window
    days_each: int
    """Days that share a mark."""
    months: str
    """A line above, with the months where they begin."""
    rows: Mapping[str, tuple[Mark, ...]]
    """Phase → its marks."""

    @property
    def marks(self) -> list[Mark]:
        """Those that occur, the worst first."""
        seen = {mark for row in self.rows.values() for mark in row}
        return [mark for mark in MARKS if mark in seen]


def strip(
    snapshot: Snapshot,
    window: Window,
    *,
    width: int,
    date_of: Callable[[str, date], date] = lambda phase, day: day,
    over: Mapping[Pair, Mark] | None = None,
) -> Strip | None:
    """A window of a snapshot, `width` marks wide at most, from the first day to the last on which
    anything is due; None where there is none.

    `date_of` is the date of the period that a day of a phase is in, whose mark the days of the
    period share. `over` are marks that stand in place of what the snapshot says.
    """
    start, end = max(window.start, snapshot.window.start), min(window.end, snapshot.window.end)
    all_days = list(Window(start=start, end=end).days()) if start <= end else []
    found = {phase: _marks(snapshot, phase, date_of, over or {}) for phase in snapshot.phases}
    due = {day for each in found.values() for day, mark in each.items() if mark is not NOTHING}
    busy = [day for day in all_days if day in due]
    if not busy:
        return None
    days = all_days[all_days.index(busy[0]) : all_days.index(busy[-1]) + 1]
    each = -(-len(days) // width)
    rows = {
        phase: tuple(
            min((_at(marks, day) for day in days[n : n + each]), key=_RANK.__getitem__)
            for n in range(0, len(days), each)
        )
        for phase, marks in found.items()
    }
    return Strip(
        window=Window(start=days[0], end=days[-1]),
        days_each=each,
        months=_months(days, each),
        rows=rows,
    )


def _at(marks: Mapping[date, Mark], day: date) -> Mark:
    return marks.get(day, NOTHING)


def _marks(
    snapshot: Snapshot,
    phase: str,
    date_of: Callable[[str, date], date],
    over: Mapping[Pair, Mark],
) -> dict[date, Mark]:
    days = [
        (stretch.start + n * DAY, stretch.state)
        for stretch in snapshot.phases[phase]
        for n in range(stretch.days)
    ]
    marks = {day: over.get((phase, day)) or mark_of(state) for day, state in days}
    shared = {day: date_of(phase, day) for day, state in days if state is SkipReason.BETWEEN}
    return marks | {day: marks[of] for day, of in shared.items() if of in marks}


def mark_of(state: State) -> Mark:
    """How a state is drawn."""
    if state == COMPLETE:
        return WHOLE
    if state is GapReason.PARTIAL:
        return PARTIAL
    if state in SHORT or state is SkipReason.WATCHED:
        return MISSING
    if state in FLAWS or state in (GapReason.ORPHAN, SkipReason.BEYOND):
        return FLAWED
    if state in OUTDATED or state in ANEW:
        return STALE
    return _SKIPPED.get(state, NOTHING)


def _months(days: Sequence[date], each: int) -> str:
    """`Oct 2021  Nov   Dec   Jan 2022 …`, each where it begins, if there is room."""
    line, width = "", -(-len(days) // each)
    for n, day in enumerate(days):
        if n and day.day != 1:
            continue
        place = n // each
        named = f"{day:%b %Y}" if not n or day.month == 1 else f"{day:%b}"
        if place + len(named) <= width and (not line or place > len(line)):
            line = line.ljust(place) + named
    return line
