"""Durations as people type them."""

from __future__ import annotations

import pytest
import typer

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
