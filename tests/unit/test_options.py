"""Options: durations as people type them, and those that several commands share."""

from __future__ import annotations

from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from planner.commands.groups import Planning, grouped
from planner.commands.options import parse_duration


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
    assert Planning(**options).shapes_the_plan == shapes
