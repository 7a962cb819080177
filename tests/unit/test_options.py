"""Options: durations as people type them, and those that several commands share."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from planner import clock
from planner.console.option_groups import Planning, grouped
from planner.console.options import parse_day, parse_days, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("6h", 21_600), ("90m", 5_400), ("1d12h", 129_600), ("30s", 30), (" 1h30m ", 5_400)],
)
def test_a_duration_is_read_in_seconds(text: str, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0h",
        "6",
        "h",
        "-6h",
        "6 h",
        "6hours",
        "1.5h",
        "30m1h",
        "1e3s",
        "٦h",
        "367d",
        "9" * 400 + "d",
    ],
)
def test_what_is_no_duration_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="write 6h, 1d12h or 90m"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("last 30 days", 29, 0),
        (" Last 1 day ", 0, 0),
        ("last 2 weeks", 13, 0),
        ("yesterday", 1, 1),
        ("today,yesterday", 1, 0),
    ],
)
def test_days_may_be_said_from_today(
    text: str, first: int, last: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a moment at which the pipeline's clocks show another day than UTC's
    monkeypatch.setenv("BACKFILL_PIPELINE", "shop")
    monkeypatch.setattr(clock, "now", lambda: datetime(2026, 3, 1, 23, 30, tzinfo=UTC))
    today = date(2026, 3, 2)

    found = parse_days(text)

    assert found == {today - timedelta(days=ago) for ago in range(last, first + 1)}


def test_a_date_may_be_said_from_today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BACKFILL_PIPELINE", "shop")
    monkeypatch.setattr(clock, "now", lambda: datetime(2026, 3, 2, 12, tzinfo=UTC))

    assert parse_day("yesterday") == date(2026, 3, 1)
    with pytest.raises(typer.BadParameter, match="more than one date"):
        parse_day("last 3 days")
    for text in ("last 0 days", "last 99999 weeks"):
        with pytest.raises(typer.BadParameter, match="name 1 to 36,600 days"):
            parse_days(text)
    with pytest.raises(typer.BadParameter, match="write YYYY-MM-DD"):
        parse_days("last fortnight")


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("2026-03-01", [1]),
        ("2026-03-01,2026-03-03", [1, 3]),
        ("2026-03-01..2026-03-07,2026-03-11", [1, 2, 3, 4, 5, 6, 7, 11]),
        (" 2026-03-01 .. 2026-03-02 , 2026-03-02..2026-03-03 ", [1, 2, 3]),
        ("2026-03-05..2026-03-05", [5]),
    ],
)
def test_dates_are_read_as_people_list_them(text: str, days: list[int]) -> None:
    assert parse_days(text) == {date(2026, 3, day) for day in days}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "write YYYY-MM-DD"),
        ("2026-03-01,", "write YYYY-MM-DD"),
        ("..2026-03-01", "write YYYY-MM-DD"),
        ("2026-03-01..", "write YYYY-MM-DD"),
        ("2026-03-01..2026-03-02..2026-03-03", "write YYYY-MM-DD"),
        ("2026-02-30", "write YYYY-MM-DD"),
        ("2026-03-01-2026-03-07", "write YYYY-MM-DD"),
        ("2026-03-07..2026-03-01", "is reversed"),
        ("0001-01-01..9999-12-31", "more than 36,600 dates"),
    ],
)
def test_what_is_no_list_of_dates_is_refused(text: str, why: str) -> None:
    with pytest.raises(typer.BadParameter, match=why):
        parse_days(text)


def test_the_options_of_a_group_are_those_of_its_command() -> None:
    taken: list[tuple[Planning, bool]] = []

    def command(*, wait: bool = False, options: Planning) -> None:
        taken.append((options, wait))

    app = typer.Typer()
    app.command()(grouped(command))

    assert CliRunner().invoke(app, ["--limit", "3", "--wait", "--stale"]).exit_code == 0
    assert taken == [(Planning(limit=3, stale=True), True)]


@pytest.mark.parametrize(
    ("options", "shapes"),
    [({}, False), ({"max_bytes": 1}, False), ({"stale": True}, True), ({"limit": 1}, True)],
)
def test_what_a_plan_file_leaves_no_room_for(options: dict[str, Any], shapes: bool) -> None:
    assert bool(Planning(**options).shaping) == shapes
