"""The hours in which steps of a run may begin."""

from __future__ import annotations

from datetime import datetime, time
from zoneinfo import ZoneInfo

import pytest

from planner.plan.hours import Hours, parse_time

HOUR = 3600
NEW_YORK = "America/New_York"


@pytest.mark.parametrize(
    ("begin", "end", "now", "hours"),
    [
        ("22:00", "06:00", "2026-01-05 21:00", 1),
        ("22:00", "06:00", "2026-01-05 22:00", 0),
        ("22:00", "06:00", "2026-01-06 05:59", 0),
        ("22:00", "06:00", "2026-01-06 06:00", 16),
        ("01:00", "05:00", "2026-01-06 05:00", 20),
        ("01:00", "05:00", "2026-01-06 00:30", 0.5),
        ("01:00", "05:00", "2026-01-06 04:00", 0),
        # Clocks go forward at 2 in the night to the 8th of March, and back on the 1st of November
        ("22:00", "06:00", "2026-03-08 06:00", 16),
        ("06:00", "22:00", "2026-03-07 22:00", 7),
        ("06:00", "22:00", "2026-10-31 22:00", 9),
    ],
)
def test_how_long_until_a_step_may_begin(begin: str, end: str, now: str, hours: float) -> None:
    of = Hours(begin=parse_time(begin), end=parse_time(end), timezone=NEW_YORK)
    at = datetime.fromisoformat(now).replace(tzinfo=ZoneInfo(NEW_YORK)).timestamp()

    assert of.closed_seconds(at) == hours * HOUR


def test_hours_are_kept_with_a_run_as_text() -> None:
    of = Hours(begin=time(22), end=time(6, 30), timezone=NEW_YORK)

    assert Hours.model_validate_json(of.model_dump_json()) == of
    assert of.text == "22:00 to 06:30 America/New_York"


@pytest.mark.parametrize("text", ["", "22", "25:00", "22:60", "now", "22:00:00"])
def test_what_is_no_time_of_day_is_said(text: str) -> None:
    with pytest.raises(ValueError, match="write it as 22:00"):
        parse_time(text)
