"""The calendar of a terminal."""

from __future__ import annotations

import io
from collections.abc import Iterable
from datetime import date

import pytest
from rich.console import Console
from rich.text import Text

from planner.console import strips
from planner.console.strips import strip_lines
from planner.gaps.gaps import GapReason, SkipReason
from planner.gaps.snapshot import COMPLETE, PLANNED, Snapshot, State, Stretch
from planner.pipeline.windows import Window
from planner.report.strip import MARKS, RUNNING, mark_of, strip
from tests.unit import examples as eg

YEAR = eg.window(0, 365)
MONTHS = "Jan 2024 Mar Apr May Jun Jul Aug Sep Oct Nov Dec"
"""Of a mark for six days: there is no room for Feb beside the year."""


def snapshot(**phases: Iterable[tuple[int, State]]) -> Snapshot:
    """Phase → numbers of days, and their state, from the first day on."""

    def stretches(parts: Iterable[tuple[int, State]]) -> Iterable[Stretch]:
        start = 0
        for days, state in parts:
            yield Stretch(eg.day(start), days, state, 4, 0)
            start += days

    return Snapshot(window=YEAR, phases={k: tuple(stretches(v)) for k, v in phases.items()})


def shown(lines: Iterable[Text], width: int = 80) -> list[str]:
    written = io.StringIO()
    console = Console(file=written, width=width, no_color=True)
    for line in lines:
        console.print(line, no_wrap=True, crop=True)
    return written.getvalue().splitlines()


def drawn(monkeypatch: pytest.MonkeyPatch, found: Snapshot, *, plain: bool = False) -> list[str]:
    of = eg.pipeline(*(eg.phase(n, *(["raw"] if n != "raw" else [])) for n in found.phases))
    monkeypatch.setattr(strips, "out", Console(file=io.StringIO(), width=80))
    return shown(strip_lines(of, found, YEAR, plain=plain))


def test_a_day_that_is_missing_is_seen_among_those_that_share_its_mark() -> None:
    found = snapshot(
        raw=[(366, COMPLETE)], a=[(100, COMPLETE), (1, GapReason.MISSING), (265, COMPLETE)]
    )

    year = strip(found, YEAR, width=63)

    assert year is not None
    assert (year.days_each, len(year.rows["a"])) == (6, 61)
    words = [mark.word for mark in year.rows["a"]]
    assert words.index("missing") == 100 // 6
    assert words.count("missing") == 1
    assert [mark.word for mark in year.marks] == ["missing", "complete"]
    day = strip(found, eg.window(98, 102), width=63)
    assert day is not None
    assert [mark.plain for mark in day.rows["a"]] == ["#", "#", "m", "#", "#"]
    assert strip(snapshot(raw=[(366, SkipReason.OFF_DAY)]), YEAR, width=60) is None
    assert strip(found, Window(start=date(2030, 1, 1), end=date(2030, 1, 2)), width=60) is None


def test_eight_phases_are_readable_in_80_columns_with_ascii_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names = ["raw", *(f"phase-with-a-long-name-{n}" for n in range(7))]
    parts = [(100, COMPLETE), (20, GapReason.MISSING), (10, GapReason.PARTIAL), (236, COMPLETE)]
    found = snapshot(**dict.fromkeys(names, parts))

    lines = drawn(monkeypatch, found, plain=True)

    assert all(line.isascii() and len(line) <= 80 for line in lines)
    assert lines[0] == "2024: 2024-01-01 to 2024-12-31, 6 days a mark, the worst of them"
    assert lines[1].split() == MONTHS.split()
    assert len(lines) == 2 + 8 + 1
    assert lines[3].startswith("phase-with-a-l.. ")
    assert lines[3][17:] == f"{'#' * 16}mmmmpp{'#' * 39}"
    assert lines[-1].split() == ["m", "missing", "p", "partial", "#", "complete"]


def test_blocks_tell_states_apart_without_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        strips, "out", Console(file=io.TextIOWrapper(io.BytesIO(), "utf-8"), width=80)
    )
    of = eg.pipeline(eg.phase("raw"), eg.phase("a", "raw"))
    days = [(100, GapReason.MISSING), (266, SkipReason.OFF_DAY)]
    found = snapshot(raw=[(366, COMPLETE)], a=days)

    lines = shown(strip_lines(of, found, YEAR))

    assert lines[3].startswith(f"{'a':16} ░░░")
    assert lines[3].endswith("···")
    assert len({mark.block for mark in MARKS}) == len({mark.plain for mark in MARKS}) == len(MARKS)
    assert "".join(mark.plain for mark in MARKS).isascii()


def test_nothing_is_drawn_where_nothing_is_to_be_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    assert drawn(monkeypatch, snapshot(raw=[(366, COMPLETE)], a=[(366, COMPLETE)])) == []


def test_a_week_is_drawn_over_its_days_and_empty_days_at_the_ends_are_left_out() -> None:
    weeks = [(1, GapReason.MISSING), (6, SkipReason.BETWEEN)]
    found = snapshot(
        raw=[(7, SkipReason.OFF_DAY), (7, COMPLETE)],
        weekly=[(7, SkipReason.BETWEEN), *weeks],
    )

    def date_of(phase: str, day: date) -> date:
        return eg.day(7) if phase == "weekly" and day > eg.day(7) else day

    drawn = strip(found, YEAR, width=80, date_of=date_of)

    assert drawn is not None
    assert drawn.window == eg.window(7, 13)
    assert {mark.word for mark in drawn.rows["weekly"]} == {"missing"}


def test_every_state_has_a_mark_and_a_run_draws_over_them() -> None:
    for state in (COMPLETE, PLANNED, *GapReason, *SkipReason):
        assert mark_of(state) in MARKS
    found = snapshot(raw=[(366, GapReason.MISSING)])
    moving = strip(found, eg.window(0, 2), width=60, over={("raw", eg.day(1)): RUNNING})
    assert moving is not None
    assert [mark.word for mark in moving.rows["raw"]] == ["missing", "running", "missing"]
