"""A calendar for a terminal: a strip of days per phase, a mark for each day or for a few. Pure."""

from __future__ import annotations

from collections.abc import Mapping
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
    snapshot: Snapshot, window: Window, *, width: int, over: Mapping[Pair, Mark] | None = None
) -> Strip | None:
    """A window of a snapshot, `width` marks wide at most; None where the two have no day in common.

    `over` are marks that stand in place of what the snapshot says.
    """
    start, end = max(window.start, snapshot.window.start), min(window.end, snapshot.window.end)
    if start > end:
        return None
    total = (end - start).days + 1
    each = -(-total // width)
    rows = {}
    for phase in snapshot.phases:
        days = _marks(snapshot, phase, start, total, over or {})
        rows[phase] = tuple(
            min(days[n : n + each], key=_RANK.__getitem__) for n in range(0, total, each)
        )
    months = _months(start, total, each)
    return Strip(window=Window(start=start, end=end), days_each=each, months=months, rows=rows)


def _marks(
    snapshot: Snapshot, phase: str, start: date, total: int, over: Mapping[Pair, Mark]
) -> list[Mark]:
    days = [NOTHING] * total
    for stretch in snapshot.phases[phase]:
        first = (stretch.start - start).days
        for n in range(max(0, first), min(total, first + stretch.days)):
            days[n] = mark_of(stretch.state)
    for n in range(total):
        days[n] = over.get((phase, start + n * DAY), days[n])
    return days


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


def _months(start: date, total: int, each: int) -> str:
    """`Oct 2021  Nov   Dec   Jan 2022 …`, each where it begins, if there is room."""
    line = ""
    for n in range(total):
        day = start + n * DAY
        if n and day.day != 1:
            continue
        place = n // each
        named = f"{day:%b %Y}" if not n or day.month == 1 else f"{day:%b}"
        fits = place + len(named) <= -(-total // each)
        if fits and (not line or place > len(line)):
            line = line.ljust(place) + named
    return line
