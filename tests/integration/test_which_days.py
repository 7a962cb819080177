"""Which days count, and why: what sources and calendars are believed, on clocks that are set."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis

from planner import clock
from planner.settings import Settings
from sql.warehouse import Table
from tests.integration.allyear import LEAGUE, OPEN_END, AllYear, is_idle, jan, noon, visit_all

Make = Callable[..., AllYear]

DAILY = 'expects = { days = "daily" }'
TWELVE = "expects = { entities = { store = 12 } }"


@pytest.fixture
def make(tmp_path: Path) -> Make:
    return lambda **options: AllYear(tmp_path, **options)


# -- beyond the calendar ---------------------------------------------------------------------------


def test_rows_beyond_the_calendar_are_a_finding(make: Make) -> None:
    # Given a season that is complete, and a source that goes on after it
    shop = make(calendar=LEAGUE)
    shop.fill_all(jan(1), jan(31))
    shop.fill("orders", jan(32), jan(34))
    now = noon(jan(40))

    # When gaps are looked for, and repaired
    found, repair, doctor = (
        shop.gaps(now=now),
        shop.enqueue(now=now),
        shop.say("doctor", now=now),
    )

    # Then all of them say so first, and what to change
    line = (
        "orders holds rows on 3 dates after the calendar's end, 2024-02-01 to 2024-02-03, which "
        "are not judged: add the next [[seasons]] to the pipeline file, or give it a `start` and "
        "no `end`"
    )
    assert (found.code, found.out.splitlines()[0]) == (1, line)
    assert "No gaps.\n" not in found.out
    assert repair.code == 1
    assert "orders 2024-02-01..2024-02-03: beyond" in repair.err
    assert "add the next [[seasons]]" in repair.err
    assert is_idle(repair)
    assert (
        "✗ calendar: 2024-01-01 until 2024-01-31, in UTC: orders goes on, with rows on 3 dates"
        in (doctor.out)
    )


def test_a_calendar_that_has_ended_with_its_source_is_all_clear(make: Make) -> None:
    shop = make(calendar=LEAGUE)
    shop.fill_all(jan(1), jan(31))

    done = shop.gaps(now=noon(jan(60)))

    assert (done.code, "No gaps." in done.out) == (0, True)
    assert "The calendar of the pipeline file ends on 2024-01-31" in done.err
    assert shop.enqueue(now=noon(jan(60))).code == 0


def test_a_season_that_is_asked_for_is_judged_alone(make: Make) -> None:
    shop = make(calendar=LEAGUE)
    shop.fill_all(jan(1), jan(31))
    shop.fill("orders", jan(32))

    assert shop.gaps("--season", "2024", now=noon(jan(40))).code == 0


@pytest.mark.slow
def test_a_calendar_without_seasons_has_an_open_end(make: Make) -> None:
    # Given two years, of which the last day that is over is not done
    shop = make()
    shop.fill_all(jan(1), jan(365))
    shop.fill_all(jan(366), jan(368))
    shop.fill("orders", jan(369))
    now = noon(jan(370))

    found = shop.gaps(now=now)

    assert found.code == 1
    assert shop.planned(now=now) == {"daily": [jan(369)], "trend": [jan(369)]}
    assert [line.split()[1] for line in found.out.splitlines() if line.startswith("│ 20")] == [
        "2024",
        "2025",
    ]
    assert shop.planned("--season", "2024", now=now) == {}


def test_an_end_that_the_file_sets_is_the_calendars(make: Make) -> None:
    shop = make(calendar="start = 2024-01-01\nend = 2024-01-10")
    shop.fill_all(jan(1), jan(10))
    shop.fill("orders", jan(11))

    done = shop.gaps(now=noon(jan(12)))

    assert done.code == 1
    assert "take `end` out of the pipeline file, or move it" in done.out


def test_days_before_the_first_rows_are_told_once_and_not_counted(make: Make) -> None:
    shop = make(calendar="start = 2023-01-01")
    shop.fill_all(jan(1), jan(10))

    found = shop.gaps(now=noon(jan(11)))

    assert (
        "before 2024-01-01, from 2023-01-01: the sources hold nothing, and nothing is due"
        in found.err
    )
    assert "legitimately empty: orders: none" in found.err


# -- late, missing and partial sources -------------------------------------------------------------


def test_a_source_that_loads_nothing_is_late_and_never_legitimately_empty(make: Make) -> None:
    # Given a source that stopped three days ago
    shop = make(orders=DAILY)
    shop.fill_all(jan(1), jan(10))
    now = noon(jan(14))

    found = shop.gaps(now=now)

    # Then each of the days is late, what it holds up is missing, and nothing is run
    assert found.code == 1
    reasons = [(gap["phase"], gap["reason"]) for gap in shop.gaps("--json", now=now).json["gaps"]]
    assert reasons.count(("orders", "late")) == 3
    assert "orders 2024-01-11: s.orders is late: it holds no rows" in found.out
    assert "legitimately empty: orders: none" in found.err
    assert "No phase writes orders" in found.out
    repair = shop.enqueue(now=now)
    assert (repair.code, is_idle(repair)) == (1, True)
    assert "orders 2024-01-11..2024-01-13: watched" in repair.err
    assert "orders has no runner here, and daily, trend wait for it" in repair.err


def test_the_block_that_accepts_a_late_source_says_that_it_may_still_come(make: Make) -> None:
    # Given a source with a hole, which stopped three days ago for good
    shop, now = make(orders=DAILY), noon(jan(14))
    shop.fill_all(jan(1), jan(10))
    for table in ("orders", "daily", "trend"):
        shop.lose(table, jan(5))

    printed = shop.gaps("--accept", now=now)

    # Then what is late is a block of its own, under a comment
    hole, late = printed.out.split("\n\n")
    assert hole.splitlines()[:3] == ["[[accept]]", 'phase = "orders"', 'dates = "2024-01-05"']
    assert late.splitlines()[:4] == [
        "# Late: these rows may still come. Accept them only where they never will.",
        "[[accept]]",
        'phase = "orders"',
        'dates = "2024-01-11..2024-01-13"',
    ]

    # And pasted into the file it is accepted, and nothing is run for it
    file = shop.place / "shop.toml"
    file.write_text(file.read_text() + printed.out)
    assert shop.gaps(now=now).code == 0
    assert shop.planned(now=now) == {}


def test_a_hole_in_a_source_is_missing(make: Make) -> None:
    shop = make(orders=DAILY)
    shop.fill_all(jan(1), jan(10))
    for table in ("orders", "daily", "trend"):
        shop.lose(table, jan(5))

    found = shop.gaps("--json", now=noon(jan(11))).json["gaps"]

    assert [(gap["phase"], gap["date"], gap["reason"]) for gap in found] == [
        ("orders", "2024-01-05", "missing"),
        ("daily", "2024-01-05", "missing"),
        ("trend", "2024-01-05", "missing"),
    ]


@pytest.mark.slow
def test_a_source_is_late_when_the_file_says_so(make: Make) -> None:
    # Given a source that may take 36 hours from the end of a day
    shop = make(orders='expects = { days = "daily", late_after = "36h" }')
    shop.fill_all(jan(1), jan(9))
    ends = datetime(2024, 1, 11, tzinfo=UTC)  # of the tenth
    early, late = ends + timedelta(hours=35), ends + timedelta(hours=36)

    # Then it is open until then, and late afterwards
    waits = shop.gaps(now=early)
    assert (waits.code, "No gaps." in waits.out) == (0, True)
    assert "Open, and skipped: 2024-01-10" in waits.out
    repair, found = shop.enqueue(now=early), shop.gaps(now=late)
    assert (repair.code, is_idle(repair)) == (0, True)
    assert (found.code, "s.orders is late" in found.out) == (1, True)


def test_a_source_without_expected_days_is_late_when_its_newest_rows_are_old(make: Make) -> None:
    shop = make(orders='expects = { late_after = "36h" }')
    shop.fill_all(jan(1), jan(10))
    for table in ("orders", "daily", "trend"):
        shop.lose(table, jan(4))  # a day off

    assert shop.gaps(now=noon(jan(12))).code == 0
    found = shop.gaps("--json", now=noon(jan(13))).json["gaps"]
    assert {(gap["date"], gap["reason"]) for gap in found if gap["phase"] == "orders"} == {
        ("2024-01-11", "late")
    }


def test_a_source_that_is_cut_is_partial(make: Make) -> None:
    # Given a source with three of its twelve stores, and phases that hold just these
    shop = make(orders=TWELVE)
    shop.fill_all(jan(1), jan(9))
    for table in ("orders", "daily", "trend"):
        shop.fill(table, jan(10), stores=3)
    now = noon(jan(11))

    found = shop.gaps(now=now)

    assert found.code == 1
    assert "orders 2024-01-10: s.orders holds 3 of 12 stores" in found.out
    repair = shop.enqueue(now=now)
    assert (repair.code, is_idle(repair)) == (1, True)


def test_what_a_partial_source_holds_up_is_not_run(make: Make) -> None:
    shop = make(orders=TWELVE)
    shop.fill_all(jan(1), jan(9))
    shop.fill("orders", jan(10), stores=3)
    now = noon(jan(11))

    assert shop.planned(now=now) == {}
    shop.fill("orders", jan(10), stores=9, since=4)
    assert shop.planned(now=now) == {"daily": [jan(10)], "trend": [jan(10)]}


def test_each_table_of_a_source_is_judged(make: Make) -> None:
    # Given two tables of a source, one of which is empty on some days
    web = '[[phases.tables]]\nname = "s.web"\ndate = "day"\nentities = { store = "store" }\n'
    shop = make(tables=web)
    shop.fill_all(jan(1), jan(10))
    shop.fill("web", jan(1), jan(7))
    now = noon(jan(11))

    # Then one is enough where the file expects nothing, and both are judged where it does
    assert shop.gaps(now=now).code == 0
    text = (shop.place / "shop.toml").read_text()
    (shop.place / "shop.toml").write_text(text.replace(web, web + TWELVE + "\n"))
    found = shop.gaps(now=now)
    assert found.code == 1
    assert "orders 2024-01-08: s.web is late: it holds no rows" in found.out
    assert "orders 2024-01-07" not in found.out


def test_weekdays_are_expected(make: Make) -> None:
    # Given a shop that is open from Monday to Friday; the first of January 2024 is a Monday
    shop = make(orders='expects = { days = ["mon", "tue", "wed", "thu", "fri"] }')
    shop.fill_all(jan(1), jan(4))
    shop.fill_all(jan(8), jan(12))

    found = shop.gaps("--json", now=noon(jan(14))).json["gaps"]

    assert {gap["date"] for gap in found} == {"2024-01-05"}


def test_a_table_lists_the_days(make: Make) -> None:
    # Given a schedule of three days, and a source that missed the second
    shop = make(orders='expects = { days = { table = "s.schedule", date = "day" } }')
    for day in (2, 4, 6):
        shop.fill("schedule", jan(day), stores=1)
    shop.fill_all(jan(2), jan(2))
    shop.fill_all(jan(6), jan(6))
    now = noon(jan(8))

    found = shop.gaps("--json", now=now).json

    assert {(gap["date"], gap["phase"]) for gap in found["gaps"]} == {
        ("2024-01-04", phase) for phase in ("orders", "daily", "trend")
    }
    assert {each["date"] for each in found["empty"] if each["phase"] == "orders"} == {
        *("2024-01-01", "2024-01-03", "2024-01-05", "2024-01-07"),
        "2024-01-08",
    }


def test_a_schedule_tells_by_id_what_a_source_lacks(make: Make) -> None:
    against = (
        'expects = { against = { table = "s.schedule", date = "day", '
        'where = { store = { not = "s9" } }, entities = { store = "store" } } }'
    )
    shop = make(orders=against)
    shop.fill("schedule", jan(1), jan(5), stores=9)  # the ninth is called off
    for table in ("orders", "daily", "trend"):
        shop.fill(table, jan(1), jan(4), stores=8)
        shop.fill(table, jan(5), stores=7, since=2)

    found = shop.gaps(now=noon(jan(6)))

    assert found.code == 1
    assert "orders 2024-01-05: s.orders holds 7 of 8 stores: lacks s1" in found.out
    assert "orders 2024-01-04" not in found.out


def test_ids_of_a_schedule_may_be_accepted_as_lost(make: Make) -> None:
    """However many they are: a message names twenty."""
    lost = ", ".join(f'"s{n}"' for n in range(11, 40))
    accept = f'[[accept]]\nphase = "orders"\ndates = 2024-01-05\nids = [{lost}]\nreason = "gone"'
    shop = make(
        calendar=f"{OPEN_END}\n{accept}",
        orders='expects = { against = { table = "s.schedule", date = "day", '
        'entities = { store = "store" } } }',
    )
    for table in ("schedule", "orders", "daily", "trend"):
        shop.fill(table, jan(1), jan(5), stores=10)
    shop.fill("schedule", jan(5), stores=30, since=11)

    found = shop.gaps(now=noon(jan(6)))

    assert found.code == 1
    assert "orders 2024-01-05: s.orders holds 10 of 11 stores: lacks s40" in found.out
    shop.fill("orders", jan(5), stores=1, since=40)
    for table in ("daily", "trend"):
        shop.fill(table, jan(5), stores=1, since=40)
    found = shop.gaps("--json", now=noon(jan(6)))
    assert (found.code, found.json["gaps"]) == (0, [])
    assert [(each["phase"], each["why"]) for each in found.json["accepted"]] == [("orders", "gone")]


def test_nothing_is_expected_outside_the_seasons(make: Make) -> None:
    shop = make(calendar=LEAGUE, orders=DAILY)
    shop.fill_all(jan(1), jan(31))

    assert shop.gaps(now=noon(jan(60))).code == 0


# -- phases without a runner -----------------------------------------------------------------------


def test_a_phase_without_a_runner_is_watched(make: Make) -> None:
    # Given a phase that another tool fills, short of one day
    shop = make()
    text = (shop.place / "shop.toml").read_text()
    runner = 'runners = [{ kind = "sql", statements = ["daily"] }]\n'
    assert runner in text
    (shop.place / "shop.toml").write_text(text.replace(runner, ""))
    shop.fill_all(jan(1), jan(10))
    for table in ("daily", "trend"):
        shop.lose(table, jan(5))
    now = noon(jan(11))

    found, repair = shop.gaps(now=now), shop.enqueue(now=now)

    # Then its gap is found, waited for, and never run
    assert found.code == 1
    assert "No phase writes daily" in found.out
    assert repair.code == 1
    assert "skipped: daily 2024-01-05: watched (s.daily holds 0 of 12 stores" in repair.err
    assert "daily has no runner here, and trend waits for it" in repair.err
    assert is_idle(repair)
    refused = shop.enqueue("--phases", "daily", now=now)
    assert (refused.code, "has no runner" in refused.err) == (2, True)

    # When the other tool has done its work, then what waited goes on
    shop.fill("daily", jan(5))
    assert shop.planned(now=now) == {"trend": [jan(5)]}


# -- open days -------------------------------------------------------------------------------------


def test_a_day_that_is_not_closed_is_left_alone(make: Make) -> None:
    # Given today, half loaded
    shop = make(calendar='start = 2024-01-01\ncloses_after = "6h"')
    shop.fill_all(jan(1), jan(9))
    shop.fill("orders", jan(10), stores=6)

    # Then it is open at noon, and in the night, and taken at six
    for now in (noon(jan(10)), datetime(2024, 1, 11, 5, 59, tzinfo=UTC)):
        found = shop.gaps(now=now)
        assert (found.code, "No gaps." in found.out) == (0, True)
        assert "Open, and skipped: 2024-01-10" in found.out
        assert "(it closes at 2024-01-11 06:00 UTC" in found.out
        repair = shop.enqueue(now=now)
        assert (repair.code, is_idle(repair)) == (0, True)
        assert "open: 2024-01-10" in repair.err
    assert shop.planned(now=datetime(2024, 1, 11, 6, tzinfo=UTC)) == {
        "daily": [jan(10)],
        "trend": [jan(10)],
    }
    assert shop.planned("--include-open", now=noon(jan(10))) == {
        "daily": [jan(10)],
        "trend": [jan(10)],
    }


@pytest.mark.slow
def test_a_day_ends_at_the_midnight_of_the_files_time_zone(make: Make) -> None:
    shop = make(calendar='start = 2024-01-01\ntimezone = "America/New_York"')
    shop.fill_all(jan(1), jan(9))
    shop.fill("orders", jan(10))

    # It is still the tenth there until five in the morning, UTC
    assert shop.planned(now=datetime(2024, 1, 11, 4, 59, tzinfo=UTC)) == {}
    assert shop.planned(now=datetime(2024, 1, 11, 5, tzinfo=UTC))["daily"] == [jan(10)]
    ahead = shop.gaps("--end", "2024-01-11", now=datetime(2024, 1, 11, 4, 59, tzinfo=UTC))
    assert (ahead.code, "is in the future" in ahead.err) == (2, True)


@pytest.mark.slow
def test_a_phase_closes_no_sooner_than_what_it_reads(make: Make) -> None:
    shop = make(orders='closes_after = "12h"')
    shop.fill_all(jan(1), jan(9))
    shop.fill("orders", jan(10))

    assert shop.planned(now=datetime(2024, 1, 11, 11, tzinfo=UTC)) == {}
    assert shop.planned(now=noon(jan(11)))["trend"] == [jan(10)]


def test_an_open_date_that_was_computed_from_what_is_repaired_is_owed(make: Make) -> None:
    # Given a date of yesterday to repair, and rows of today that are computed from it
    shop = make()
    shop.fill_all(jan(1), jan(10))
    shop.lose("daily", jan(9))

    plan = shop.enqueue("--json", now=noon(jan(10))).json

    assert plan["owed"] == {"trend": ["2024-01-10"]}


# -- retention -------------------------------------------------------------------------------------


def test_dates_before_the_sources_first_rows_are_unjudged(make: Make) -> None:
    # Given marts of twenty days, and a source that keeps ten, and a hole in each of both halves
    shop = make()
    shop.fill_all(jan(1), jan(20))
    shop.lose("orders", jan(1), jan(10))
    for day in (6, 20):
        shop.lose("trend", jan(day))
    now = noon(jan(21))

    found, repair = shop.gaps(now=now), shop.enqueue(now=now)

    # Then the old ones are named and counted, no gaps, and not in order either
    assert found.code == 1
    assert (
        "10 dates cannot be judged, 2024-01-01 to 2024-01-10: orders begins on 2024-01-11"
        in found.out
    )
    assert "legitimately empty: orders: none" in found.err
    assert shop.planned(now=now) == {"trend": [jan(20)]}
    assert "orders 2024-01-01" in repair.err
    assert "unjudged" in repair.err
    shop.fill("trend", jan(20))
    found = shop.gaps(now=now)
    assert found.code == 1
    assert "No gaps among the dates that can be judged." in found.out
    assert shop.enqueue(now=now).code == 1
    assert shop.gaps("--start", "2024-01-11", now=now).code == 0


def test_a_window_that_reaches_into_what_is_gone_is_not_run(make: Make) -> None:
    # Given dates to repair from a week of rows, of which some are gone
    shop = make()
    shop.fill_all(jan(1), jan(20))
    shop.lose("orders", jan(1), jan(10))
    shop.lose("daily", jan(6), jan(6))
    shop.lose("trend", jan(12))
    shop.lose("trend", jan(13))
    now = noon(jan(21))

    # Then the date whose window holds the sixth is refused, and the next one is done
    repair = shop.enqueue(now=now)
    assert shop.planned(now=now) == {"trend": [jan(13)]}
    assert "skipped: trend 2024-01-12: unjudged (it is computed from daily 2024-01-06" in repair.err


def test_a_source_that_is_empty_all_season_is_said_first(make: Make) -> None:
    shop = make(calendar=LEAGUE)
    shop.fill("daily", jan(1), jan(31))
    shop.fill("trend", jan(1), jan(31))
    now = noon(jan(40))

    found = shop.gaps(now=now)

    assert found.code == 1
    assert found.out.splitlines()[0].startswith(
        "orders holds no rows at all in 2024, though daily, trend hold rows on 31 dates of it"
    )
    repair = shop.enqueue(now=now)
    assert (repair.code, is_idle(repair)) == (1, True)
    assert {each["reason"] for each in shop.gaps("--json", now=now).json["empty"]} == {"unjudged"}


@pytest.mark.parametrize("calendar", [OPEN_END, LEAGUE])
@pytest.mark.quick(0)
def test_a_source_without_any_row_is_said_first(make: Make, calendar: str) -> None:
    """Nothing below it holds any either, so nothing tells whether anything is due."""
    shop, now = make(calendar=calendar), noon(jan(40))

    found, repair = shop.gaps(now=now), shop.enqueue(now=now)

    assert found.code == 1
    assert found.out.splitlines()[0] == (
        "orders holds no rows at all since 2024-01-01, so that nothing is known to be due: load "
        "it, or see whether the pipeline file names the right tables and date columns"
    )
    assert "No gaps.\n" not in found.out
    assert "legitimately empty: orders: none" in found.err
    assert repair.code == 1
    assert "unjudged (orders holds no rows at all)" in repair.err
    assert is_idle(repair)
    assert shop.say("validate", now=now).code == 1
    assert {each["reason"] for each in shop.gaps("--json", now=now).json["empty"]} <= {
        *("unjudged", "open")
    }


def test_days_without_rows_of_a_source_that_holds_some_elsewhere_are_days_off(make: Make) -> None:
    shop = make()
    shop.fill_all(jan(10), jan(12))

    for day in (jan(5), jan(15)):
        done = shop.gaps("--start", str(day), "--end", str(day), now=noon(jan(20)))
        assert (done.code, "legitimately empty: orders: 1 off_day" in done.err) == (0, True)


def test_a_source_with_older_rows_has_a_hole_and_no_retention(make: Make) -> None:
    # Given rows below a hole of the source, in a scope that begins with it
    shop = make()
    shop.fill_all(jan(1), jan(20))
    shop.lose("orders", jan(10), jan(12))
    now = noon(jan(21))

    found = shop.gaps("--json", "--start", "2024-01-10", now=now).json["gaps"]

    assert {(gap["date"], gap["reason"]) for gap in found} == {
        (f"2024-01-{day}", "orphan") for day in (10, 11, 12)
    }


# -- runs ------------------------------------------------------------------------------------------


@pytest.fixture
def with_redis(make: Make, client: redis.Redis, redis_settings: Settings) -> Make:
    return partial(make, broker_url=redis_settings.redis_url)


def test_an_open_date_that_was_asked_for_is_judged_by_its_run(
    with_redis: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a plan of today, which was asked for, kept in a file
    shop, now = with_redis(), noon(jan(10))
    shop.fill_all(jan(1), jan(9))
    shop.fill("orders", jan(10), stores=6)
    made = shop.say("plan", "--include-open", "--out", "plan.json", now=now)
    assert made.code == 0, made.err
    sent = shop.say("enqueue", "--plan", "plan.json", "--json", now=now)
    assert sent.code == 0, sent.err

    # When it is run on that day
    monkeypatch.setattr(clock, "now", lambda: now)
    report = visit_all(shop.settings, sent.json["run_id"])

    # Then it is complete, and rows that come later are found when the day is closed
    assert report.state == "complete"
    assert (report.validation.passed, report.validation.remaining) == (True, 0)
    shop.fill("orders", jan(10), stores=6, since=7)
    assert shop.gaps(now=now).code == 0
    assert shop.planned(now=noon(jan(11))) == {"daily": [jan(10)], "trend": [jan(10)]}


def test_rows_that_go_away_after_the_plan_block_what_reads_them(
    with_redis: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a date that is planned, and whose window is gone when its turn comes
    shop, now = with_redis(), noon(jan(14))
    shop.fill_all(jan(1), jan(13))
    shop.lose("trend", jan(13))
    sent = shop.say("enqueue", "--gaps", "--json", now=now)
    for table in ("orders", "daily"):
        shop.lose(table, jan(1), jan(8))

    monkeypatch.setattr(clock, "now", lambda: now)
    report = visit_all(shop.settings, sent.json["run_id"])

    assert report.state == "failed"
    assert jan(13) not in shop.warehouse.coverage(
        Table(name="s.trend", date="day"), jan(13), jan(13)
    )
    (failure,) = report.failures
    assert "daily 2024-01-07 is unjudged now" in failure.reason


def test_a_source_that_shrinks_after_the_plan_blocks_its_steps(
    with_redis: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, now = with_redis(orders=TWELVE), noon(jan(11))
    shop.fill_all(jan(1), jan(10))
    shop.lose("daily", jan(10))
    sent = shop.say("enqueue", "--gaps", "--json", now=now)
    shop.lose("orders", jan(10))
    shop.fill("orders", jan(10), stores=3)

    monkeypatch.setattr(clock, "now", lambda: now)
    report = visit_all(shop.settings, sent.json["run_id"])

    assert report.state == "failed"
    told = [each.reason for each in report.failures if each.phase == "daily"]
    assert "orders 2024-01-10 is short now: s.orders holds 3 of 12 stores" in told[0]
    assert "it has no runner here" in told[0]


def test_a_run_is_no_all_clear_while_a_source_goes_on_beyond_the_calendar(
    with_redis: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, now = with_redis(calendar=LEAGUE), noon(jan(40))
    shop.fill_all(jan(1), jan(31))
    shop.lose("trend", jan(31))
    shop.fill("orders", jan(32), jan(33))
    sent = shop.say("enqueue", "--gaps", "--json", now=now)

    monkeypatch.setattr(clock, "now", lambda: now)
    report = visit_all(shop.settings, sent.json["run_id"])

    assert (report.state, report.validation.remaining) == ("complete", 2)


# -- validate and doctor ---------------------------------------------------------------------------


def test_a_validation_does_not_hold_while_dates_are_unjudged(make: Make) -> None:
    shop = make()
    shop.fill_all(jan(1), jan(20))
    assert shop.say("validate", now=noon(jan(21))).code == 0
    shop.lose("orders", jan(1), jan(10))

    done = shop.say("validate", now=noon(jan(21)))

    assert done.code == 1
    assert "10 dates cannot be judged" in done.out
    kept = shop.say("validate", "--json", now=noon(jan(21))).json
    assert (kept["holds"], len(kept["notices"])) == (False, 1)


def test_today_is_no_gap_to_a_validation(make: Make) -> None:
    shop = make()
    shop.fill_all(jan(1), jan(9))
    shop.fill("orders", jan(10), stores=6)

    assert shop.say("validate", now=noon(jan(10))).code == 0
    assert shop.say("validate", now=noon(jan(11))).code == 1


def test_a_printed_query_leaves_open_days_and_says_what_it_does_not_judge(make: Make) -> None:
    # Given a loss that is accepted, a source of which rows are expected, and today, half loaded
    accept = '[[accept]]\nphase = "daily"\ndates = 2024-01-05\nreason = "gone"'
    shop, now = make(calendar=f"{OPEN_END}\n{accept}", orders=DAILY), noon(jan(10))
    shop.fill_all(jan(1), jan(8))
    shop.fill("orders", jan(9), jan(10))

    # When the query is printed today, and tomorrow
    today, tomorrow = (
        shop.say("validate", "--start", "2024-01-01", "--print", "gaps", "--end", end, now=when)
        for end, when in (("2024-01-10", now), ("2024-01-10", noon(jan(11))))
    )

    # Then what it does not judge stands above it, for whoever runs it
    told = [line for line in today.out.splitlines() if line.startswith("-- It does not")]
    assert [line.partition(":")[0] for line in told] == [
        "-- It does not judge which ids are there (it compares numbers), what sources are expected "
        "to hold, dates whose source's rows are gone",
        "-- It does not know of accepted losses",
    ]
    # And today is due in no phase before it is over
    assert asked(shop, today.out) == {jan(9)}
    assert asked(shop, tomorrow.out) == {jan(9), jan(10)}


def asked(shop: AllYear, text: str) -> set[date]:
    """The dates that a printed query of gaps shows, with the parameters that stand above it."""
    given = {
        name: json.loads(value) if kind.startswith("ARRAY") else value
        for name, kind, value in (
            option.strip("'").removeprefix("--parameter=").split(":", 2)
            for line in text.splitlines()
            if "--parameter=" in line
            for option in shlex.split(line.removeprefix("--").rstrip("\\"))
        )
    }
    days = {name: _dates(value) for name, value in given.items()}
    return {row["date"] for row in shop.warehouse.rows(text, days)}


def _dates(value: Any) -> Any:
    """ISO dates as dates, in lists as well."""
    if isinstance(value, list):
        return [_dates(each) for each in value]
    with suppress(TypeError, ValueError):
        return date.fromisoformat(value)
    return value


def test_doctor_looks_at_tables_that_list_days_and_at_what_is_watched(make: Make) -> None:
    listing = 'expects = { days = { table = "s.schedule", date = "dya" } }'
    shop = make(orders=listing)
    text = (shop.place / "shop.toml").read_text()
    runner = 'runners = [{ kind = "sql", statements = ["daily"] }]\n'
    (shop.place / "shop.toml").write_text(text.replace(runner, ""))
    shop.fill("orders", jan(-3), jan(3))

    said = shop.say("doctor", now=noon(jan(4))).out

    assert "✗ expects: s.schedule: it has no column 'dya' → correct the pipeline file" in said
    assert "✓ daily: watched: it has no runner: others fill it" in said
    assert "✓ calendar: 2024-01-01 with an open end, in UTC; orders holds rows before it" in said
