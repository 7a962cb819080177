"""When days end and close, by the time zone and the patience of a pipeline file."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from planner.pipeline.closing import Closing
from planner.pipeline.pipeline import Pipeline
from tests.unit import examples as eg

DAY = date(2024, 3, 10)
"""The day on which clocks go forward in New York: it has 23 hours."""


def closing(now: datetime, *, clean: dict[str, Any] | None = None, **options: Any) -> Closing:
    phases = (eg.phase("raw"), eg.phase("clean", "raw", **(clean or {})))
    return Closing(pipeline=eg.pipeline(*phases, **options), now=now)


def at(hour: int, minute: int = 0, day: int = 11) -> datetime:
    return datetime(2024, 3, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize(
    ("options", "closes"),
    [
        ({}, at(0)),
        ({"closes_after": "6h"}, at(6)),
        ({"closes_after": "1d12h"}, at(12, day=12)),
        ({"timezone": "America/New_York"}, at(4)),
        ({"timezone": "America/New_York", "closes_after": "90m"}, at(5, 30)),
        ({"timezone": "Asia/Tokyo"}, at(15, day=10)),
    ],
    ids=str,
)
def test_a_day_is_open_until_it_closes(options: dict[str, Any], closes: datetime) -> None:
    before, after = closing(closes - timedelta(seconds=1), **options), closing(closes, **options)
    raw = before.pipeline.by_name["raw"]

    assert before.closes(raw, DAY) == closes
    assert before.is_open(raw, DAY)
    assert not after.is_open(raw, DAY)


def test_a_phase_has_a_zone_and_a_patience_of_its_own_and_none_less_than_what_it_reads() -> None:
    own = {"timezone": "Asia/Tokyo", "closes_after": "1h"}
    of = closing(at(0), clean=own, closes_after="6h").pipeline
    last = Closing(pipeline=of, now=at(5, 59))

    # In Tokyo the day was closed long ago, and what it is computed from is not
    assert last.ended(of.by_name["clean"], DAY) == at(15, day=10)
    assert last.is_open(of.by_name["clean"], DAY)
    assert not Closing(pipeline=of, now=at(6)).is_open(of.by_name["clean"], DAY)


def test_today_is_that_of_the_pipelines_zone() -> None:
    assert closing(at(3)).today == date(2024, 3, 11)
    assert closing(at(3), timezone="America/New_York").today == DAY


def test_open_days_that_are_asked_for_are_judged_and_days_that_have_not_begun_never() -> None:
    of = closing(at(12)).pipeline
    raw = of.by_name["raw"]
    for each in (
        Closing(pipeline=of, now=at(12), include_open=True),
        Closing(pipeline=of, now=at(12), included={date(2024, 3, 11), date(2024, 3, 12)}),
    ):
        assert not each.is_open(raw, date(2024, 3, 11))
        assert each.is_open(raw, date(2024, 3, 12))


@pytest.mark.parametrize("text", ["6", "6 h", "", "-1h", "367d", "h", 6, None, "६h"])
def test_a_duration_is_one_as_people_write_it(text: Any) -> None:
    if text is None:
        assert eg.pipeline(closes_after=None).closes_after is None
        return
    with pytest.raises(ValidationError, match="is no time"):
        eg.pipeline(closes_after=text)


def test_a_duration_is_kept_as_it_is_read() -> None:
    of = eg.pipeline(closes_after="1d30m")

    assert of.closes_after == timedelta(days=1, minutes=30)
    assert Pipeline.model_validate_json(of.model_dump_json()) == of


@pytest.mark.parametrize(
    ("clean", "last"),
    [
        ({"reads": {"from": -3}}, DAY),
        ({"reads": {"from": -3, "to": 2}}, date(2024, 3, 12)),
        ({"every": "week", "on": "sunday"}, date(2024, 3, 16)),
        ({"every": "week", "dated": "last"}, DAY),
    ],
    ids=str,
)
def test_a_date_closes_with_the_last_day_that_it_reads(clean: dict[str, Any], last: date) -> None:
    # Given a phase that reads other days than its own, on the last of them
    closes = datetime(last.year, last.month, last.day, 6, tzinfo=UTC) + timedelta(days=1)
    before, after = (
        closing(moment, clean=clean, closes_after="6h")
        for moment in (closes - timedelta(seconds=1), closes)
    )
    phase = before.pipeline.by_name["clean"]

    # Then it is open until that one has closed
    assert before.closes(phase, DAY) == closes
    assert before.is_open(phase, DAY)
    assert not after.is_open(phase, DAY)

    # And it is judged before, when asked to, but not while it reads a day that has not begun
    earlier = closes - timedelta(days=1, hours=6, seconds=1)
    for moment, is_open in ((closes - timedelta(seconds=1), False), (earlier, True)):
        asked = Closing(pipeline=before.pipeline, now=moment, include_open=True)
        assert asked.is_open(phase, DAY) == is_open
