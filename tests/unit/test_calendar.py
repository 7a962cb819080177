"""Which days count, and what days a command is about."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from planner.errors import UsageError
from planner.pipeline.calendar import Calendar
from planner.pipeline.load import load_pipeline
from planner.pipeline.windows import Window
from tests.unit import examples as eg

CALENDAR = Calendar(
    pipeline=eg.pipeline(
        seasons=[
            eg.season("2023-24", date(2023, 10, 1), date(2024, 6, 30)),
            eg.season("2024-25", date(2024, 10, 1), date(2025, 6, 30)),
        ],
        bootstrap_days=14,
        exclude=[{"start": "2024-02-16", "end": "2024-02-18", "reason": "All-Star break"}],
    )
)


@pytest.mark.parametrize(
    ("day", "name"),
    [
        (date(2023, 9, 30), None),
        (date(2023, 10, 1), "2023-24"),
        (date(2024, 6, 30), "2023-24"),
        (date(2024, 7, 1), None),
        (date(2024, 10, 1), "2024-25"),
    ],
)
def test_a_day_is_in_at_most_one_season(day: date, name: str | None) -> None:
    season = CALENDAR.season_of(day)

    assert (season and season.name) == name


def test_a_season_is_known_by_its_name_and_by_the_year_it_starts_in() -> None:
    assert CALENDAR.season_named("2024-25") == CALENDAR.season_named("2024")


def test_an_unknown_season_names_the_known_ones_and_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"no season '2025'.*2023-24, 2024-25"):
        CALENDAR.season_named("2025")
    with pytest.raises(UsageError, match=r"no season '2024-2'.*; did you mean '2024-25'\?"):
        CALENDAR.season_named("2024-2")


def test_a_window_of_a_season_is_named_behind_it() -> None:
    of = Calendar(pipeline=load_pipeline("nba"))
    season = of.season_named("2021-22")

    assert of.part_named("2021-22") == season
    for name in ("2021-22 playoffs", "2021  playoffs "):
        assert of.part_named(name) == season.windows["playoffs"]
        assert of.scope(today=date(2025, 1, 1), season=name).end == season.windows["playoffs"].end
    with pytest.raises(
        UsageError, match=r"2021-22 has no window 'playofs'; did you mean 'playoffs'\?"
    ):
        of.part_named("2021-22 playofs")
    with pytest.raises(UsageError, match=r"no season '2031'"):
        of.part_named("2031 playoffs")


@pytest.mark.parametrize(
    ("day", "is_bootstrap"),
    [
        (date(2023, 9, 30), False),
        (date(2023, 10, 1), True),
        (date(2023, 10, 14), True),
        (date(2023, 10, 15), False),
        (date(2024, 10, 14), True),
    ],
)
def test_the_first_days_of_every_season_are_its_bootstrap(day: date, is_bootstrap: bool) -> None:
    assert CALENDAR.is_bootstrap(day) is is_bootstrap


# -- scope -----------------------------------------------------------------------------------

TODAY = date(2024, 11, 5)


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ({}, date(2023, 10, 1), TODAY),
        ({"start": date(2024, 2, 1)}, date(2024, 2, 1), TODAY),
        ({"end": date(2024, 2, 1)}, date(2023, 10, 1), date(2024, 2, 1)),
        ({"start": TODAY, "end": TODAY}, TODAY, TODAY),
        ({"start": date(2020, 1, 1)}, date(2020, 1, 1), TODAY),
        ({"season": "2023-24"}, date(2023, 10, 1), date(2024, 6, 30)),
        ({"season": "2024-25"}, date(2024, 10, 1), TODAY),
    ],
    ids=str,
)
def test_a_scope_is_what_was_asked_for_until_today(
    asked: dict[str, object], start: date, end: date
) -> None:
    scope = CALENDAR.scope(today=TODAY, **asked)  # type: ignore[arg-type]

    assert scope == Window(start=start, end=end)


def test_a_scope_ends_with_the_last_season() -> None:
    assert CALENDAR.scope(today=date(2030, 1, 1)).end == date(2025, 6, 30)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"end": date(2024, 11, 6)}, "--end 2024-11-06 is in the future"),
        ({"start": date(2024, 11, 6)}, "reversed, or lie ahead: 2024-11-06 to 2024-11-05"),
        ({"start": date(2024, 2, 2), "end": date(2024, 2, 1)}, "reversed"),
        ({"season": "2024", "start": date(2024, 2, 1)}, "not both"),
        ({"season": "2024", "end": date(2024, 2, 1)}, "not both"),
        ({"season": "1999"}, "no season '1999'"),
    ],
    ids=str,
)
def test_a_scope_that_cannot_be_is_refused(asked: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        CALENDAR.scope(today=TODAY, **asked)  # type: ignore[arg-type]


def test_a_season_that_has_not_begun_has_no_scope() -> None:
    with pytest.raises(UsageError, match="lie ahead"):
        CALENDAR.scope(today=date(2024, 9, 1), season="2024-25")


def test_before_the_first_season_there_is_nothing_to_look_at() -> None:
    with pytest.raises(UsageError, match="lie ahead"):
        CALENDAR.scope(today=date(2023, 1, 1))


# -- without seasons -------------------------------------------------------------------------------


def calendar(**options: Any) -> Calendar:
    return Calendar(pipeline=eg.pipeline(**{"seasons": [], **options}))


def test_a_calendar_without_an_end_goes_on() -> None:
    open_ended = calendar(start=date(2023, 11, 5))

    assert (open_ended.first, open_ended.last) == (date(2023, 11, 5), None)
    assert open_ended.scope(today=date(2030, 1, 1)) == Window(
        start=date(2023, 11, 5), end=date(2030, 1, 1)
    )
    assert open_ended.covers(date(2099, 12, 31))
    assert not open_ended.covers(date(2023, 11, 4))


def test_years_stand_for_seasons() -> None:
    of = calendar(start=date(2023, 11, 5), end=date(2025, 3, 31))
    whole = Window(start=date(2020, 1, 1), end=date(2030, 1, 1))

    assert [(s.name, s.start, s.end) for s in of.seasons(whole)] == [
        ("2023", date(2023, 11, 5), date(2023, 12, 31)),
        ("2024", date(2024, 1, 1), date(2024, 12, 31)),
        ("2025", date(2025, 1, 1), date(2025, 3, 31)),
    ]
    assert of.season_of(date(2025, 4, 1)) is None
    assert of.scope(today=date(2024, 2, 1), season="2024").end == date(2024, 2, 1)
    with pytest.raises(UsageError, match=r"no season '2022'.*: 2023, 2024\.$"):
        of.scope(today=date(2024, 2, 1), season="2022")


def test_the_warm_up_of_a_calendar_without_seasons_is_its_first_days() -> None:
    of = calendar(start=date(2023, 12, 25), bootstrap_days=10)

    assert [of.is_bootstrap(date(2023, 12, 25)), of.is_bootstrap(date(2024, 1, 3))] == [True, True]
    assert not of.is_bootstrap(date(2024, 1, 4))
    assert not of.is_bootstrap(date(2023, 12, 24))
    assert not of.is_bootstrap(date(2025, 1, 1))


def test_a_start_keeps_seasons_and_opens_the_end() -> None:
    both = Calendar(pipeline=eg.pipeline(start=date(2023, 12, 1)))

    assert (both.first, both.last) == (date(2023, 12, 1), None)
    assert both.covers(date(2026, 1, 1))
    assert [season.name for season in both.seasons(both.scope(today=date(2026, 1, 1)))] == ["2024"]


def test_days_between_seasons_are_not_covered_where_seasons_are_all_there_is() -> None:
    assert CALENDAR.covers(date(2024, 6, 30))
    assert not CALENDAR.covers(date(2024, 7, 1))


def test_a_start_after_the_calendars_end_needs_an_end() -> None:
    with pytest.raises(UsageError, match="after the calendar's end, 2025-06-30: give --end"):
        CALENDAR.scope(today=date(2026, 1, 1), start=date(2025, 7, 1))
    asked = CALENDAR.scope(today=date(2026, 1, 1), start=date(2025, 7, 1), end=date(2025, 7, 2))
    assert asked.end == date(2025, 7, 2)
