"""Phases that are due by week or month: their dates, their periods, and when they are due."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from planner.gaps.assess import assess
from planner.gaps.gaps import GapReason, SkipReason
from planner.gaps.snapshot import snapshot
from planner.pipeline.grain import Grain
from planner.pipeline.lookback import lookback, reach
from planner.pipeline.weekdays import WEEKDAYS
from planner.pipeline.windows import Window
from planner.plan.choose import choose
from planner.plan.simulate import Work, elapsed
from planner.report.html import heatmap
from tests.unit import examples as eg
from tests.unit.examples import day, days, window
from tests.unit.worlds import bounded

SCOPE = window(0, 59)  # January and February 2024; day 0 is a Monday
grains = st.builds(
    Grain,
    every=st.sampled_from(["day", "week", "month"]),
    on=st.sampled_from(WEEKDAYS),
    dated=st.sampled_from(["first", "last"]),
)
dates = st.dates(date(1999, 1, 1), date(2032, 12, 31))


@bounded
@given(grains, dates)
def test_periods_lie_side_by_side_and_each_has_one_date(grain: Grain, on: date) -> None:
    period = grain.period(on)

    assert on in period
    assert all(grain.period(each) == period for each in period.days())
    assert list(grain.dates(period)) == [grain.date_of(on)]
    assert grain.date_of(on) == (period.start if grain.dated == "first" else period.end)
    assert (period.end - period.start).days < grain.longest
    if grain.every == "week":
        assert WEEKDAYS[grain.date_of(on).weekday()] == grain.on
    if grain.every == "month":
        assert {(each.year, each.month) for each in period.days()} == {(on.year, on.month)}


@pytest.mark.parametrize(
    ("options", "on", "period"),
    [
        ({"every": "week"}, date(2024, 2, 26), (date(2024, 2, 26), date(2024, 3, 3))),
        (
            {"every": "week", "dated": "last"},
            date(2024, 3, 3),
            (date(2024, 2, 26), date(2024, 3, 3)),
        ),
        ({"every": "week", "on": "thursday"}, date(2024, 2, 29), (date(2024, 2, 29), day(65))),
        ({"every": "month"}, date(2024, 2, 1), (date(2024, 2, 1), date(2024, 2, 29))),
        (
            {"every": "month", "dated": "last"},
            date(2023, 2, 28),
            (date(2023, 2, 1), date(2023, 2, 28)),
        ),
        (
            {"every": "month", "dated": "last", "reads": {"from": -89}},
            date(2023, 3, 31),
            (date(2023, 1, 1), date(2023, 3, 31)),
        ),
    ],
)
def test_a_date_reads_its_period_or_the_window_that_the_file_names(
    options: dict[str, Any], on: date, period: tuple[date, date]
) -> None:
    phase = eg.pipeline(eg.phase("raw"), eg.phase("rollup", "raw", **options)).phases[1]

    assert phase.grain.is_date(on)
    assert lookback(on, phase) == Window(start=period[0], end=period[1])
    for each in lookback(on, phase).days():
        assert on in reach([each], phase)


def rollups(**options: Any) -> Any:
    """raw → clean → weekly and monthly."""
    return eg.pipeline(
        eg.phase("raw"),
        eg.phase("clean", "raw"),
        eg.phase("weekly", "clean", every="week", **options),
        eg.phase("monthly", "clean", every="month", dated="last"),
    )


def test_a_phase_is_due_on_the_dates_of_periods_in_which_anything_is_due() -> None:
    of = rollups()
    cover = eg.covered(of, days(0, 59))
    for name in ("raw", "clean"):
        eg.empty(cover, name, *days(7, 14), day(21))
    cover |= {"shop.weekly": {}, "shop.monthly": {}}

    found = eg.judge(of, cover, SCOPE)

    mondays = [day(n) for n in range(0, 60, 7)]
    assert set(found.gaps["weekly"]) & set(SCOPE.days()) == set(mondays) - {day(7)}
    assert found.empty["weekly"][day(7)].reason is SkipReason.OFF_DAY
    assert found.empty["weekly"][day(8)].reason is SkipReason.BETWEEN
    assert set(found.gaps["monthly"]) & set(SCOPE.days()) == {date(2024, 1, 31), date(2024, 2, 29)}


def test_a_period_has_to_hold_the_distinct_ids_of_its_days() -> None:
    of = rollups()
    cover = eg.covered(of, days(0, 59))
    for name in ("raw", "clean"):
        cover[f"shop.{name}"][day(3)] = eg.cell(9)
    cover |= {"shop.weekly": {day(0): eg.cell(4), day(7): eg.cell(4)}}

    found = eg.judge(of, cover, window(0, 13))

    assert found.expected["weekly"][day(0)] == {"order": 9, "item": 9}
    assert found.expected["weekly"][day(7)] == {"order": 4, "item": 4}
    assert found.gaps["weekly"][day(0)].found == 4
    assert day(7) in found.complete["weekly"]


def test_a_period_is_due_when_it_is_closed() -> None:
    of = rollups()
    cover = eg.covered(of, days(0, 30))
    cover |= {"shop.weekly": {}, "shop.monthly": {}}
    evidence = eg.shown(of, cover, SCOPE)

    for today, weeks, months in (
        (day(13), {day(0)}, set()),
        (day(14), {day(0), day(7)}, set()),
        (day(30), {day(n) for n in (0, 7, 14, 21)}, set()),
        (day(31), {day(n) for n in (0, 7, 14, 21)}, {day(30)}),
    ):
        found = assess(of, evidence, SCOPE, closing=eg.closing(of, today))
        assert set(found.gaps["weekly"]) == weeks
        assert set(found.gaps["monthly"]) == months


def test_rows_between_the_dates_of_a_phase_are_orphans() -> None:
    """Else a wrong weekday in the file would look like weeks that are missing, and no more."""
    of = rollups(dated="last")
    cover = eg.covered(of, days(0, 59))
    cover |= {"shop.weekly": {day(0): eg.cell(4)}, "shop.monthly": {}}

    found = eg.judge(of, cover, window(0, 6))

    assert found.orphans["weekly"][day(0)].detail == (
        "shop.weekly holds 4 rows, and its phase is due every week, dated by its last day (sunday)"
    )


def test_a_repaired_day_does_its_week_and_its_month_again() -> None:
    of = rollups()
    cover = eg.covered(of, days(0, 59))
    eg.empty(cover, "clean", day(10))

    found = choose(
        of,
        eg.judge(of, cover, window(10, 10)),
        scope=window(10, 10),
        phases=["clean", "weekly", "monthly"],
    )

    assert {name: set(todo) for name, todo in found.todo.items()} == {
        "clean": {day(10)},
        "weekly": {day(7)},
        "monthly": {day(30)},
    }


def test_a_period_waits_for_a_day_that_the_plan_leaves() -> None:
    of = rollups()
    cover = eg.covered(of, days(0, 59))
    eg.empty(cover, "clean", day(10))
    eg.empty(cover, "weekly", day(7), day(14))

    found = choose(of, eg.judge(of, cover, SCOPE), scope=SCOPE, phases=["weekly"])

    assert set(found.todo["weekly"]) == {day(14)}
    waiting = [each for each in found.skipped if each.reason is SkipReason.UPSTREAM_MISSING]
    assert [left.date for left in waiting] == [day(7)]


def test_the_page_shows_dates_between_and_open_ones_as_no_gaps() -> None:
    of = rollups()
    cover = eg.covered(of, days(0, 30))
    cover |= {"shop.weekly": {}, "shop.monthly": {}}
    now = assess(of, eg.shown(of, cover, SCOPE), SCOPE, closing=eg.closing(of, day(20)))

    taken = snapshot(of, now, window(0, 20), {})

    assert list(taken.days("weekly", SkipReason.BETWEEN)) == [
        on for on in days(0, 20) if on.weekday()
    ]
    assert list(taken.days("weekly", SkipReason.OPEN)) == [day(14)]
    css = (Path(heatmap.__file__).parent / "page.css").read_text()
    for state in (SkipReason.BETWEEN, SkipReason.OPEN, SkipReason.ACCEPTED):
        assert state in heatmap.STATES
        assert f".s-{state} " in css


def test_weekdays_are_written_in_full_or_short_wherever_they_stand() -> None:
    long, short = (
        eg.pipeline(
            eg.phase("raw", expects={"days": [on]}), eg.phase("clean", "raw", every="week", on=on)
        )
        for on in ("wednesday", "wed")
    )

    assert long == short
    assert long.checksum == short.checksum
    assert long.by_name["clean"].grain.is_date(day(2))
    assert [on for on in days(0, 6) if short.by_name["raw"].expects.is_usual(on)] == [day(2)]


def test_a_week_is_judged_by_all_its_days() -> None:
    """Its date may be a day off, and its first day older than the source."""
    of = rollups(dated="last")
    cover = eg.covered(of, days(0, 59))
    for name in ("raw", "clean"):
        # Shut on Sundays, and opened on a Thursday.
        eg.empty(cover, name, *days(0, 2), *[day(n) for n in range(6, 60, 7)])
    cover["shop.weekly"] = {on: eg.cell(4) for n in range(6, 60, 7) if (on := day(n))}
    cover["shop.monthly"] = {day(30): eg.cell(4), day(59): eg.cell(4)}

    found = eg.judge(of, cover, SCOPE)

    assert found.complete["weekly"] >= {day(n) for n in range(6, 56, 7)}
    assert found.complete["monthly"] == {day(30), day(59)}
    assert not found.unsettled(SkipReason.UNJUDGED, SCOPE)


def test_a_week_whose_source_is_gone_in_part_is_unjudged() -> None:
    of = rollups()
    cover = eg.covered(of, days(0, 59))
    cover["shop.weekly"] = {day(n): eg.cell(4) for n in range(0, 60, 7)}
    cover["shop.monthly"] = {day(30): eg.cell(4), day(59): eg.cell(4)}
    eg.empty(cover, "raw", *days(0, 9))

    found = eg.judge(of, cover, SCOPE)

    assert found.unsettled(SkipReason.UNJUDGED, SCOPE) == {
        "raw": days(0, 9),
        "clean": days(0, 9),
        "weekly": [day(0), day(7)],
        "monthly": [day(30)],
    }
    assert choose(of, found, scope=SCOPE, phases=["clean", "weekly", "monthly"]).todo == {}


def test_a_week_has_no_id_too_many_while_a_day_of_it_is_short() -> None:
    of = rollups(against=["clean"])
    cover = eg.covered(of, days(0, 59))
    cover["shop.weekly"] = {day(n): eg.cell(9 if n == 7 else 4) for n in range(0, 60, 7)}
    whole = eg.judge(of, cover, SCOPE)
    cover["shop.raw"][day(9)] = eg.cell(9)

    short = eg.judge(of, cover, SCOPE)

    assert whole.gaps["weekly"][day(7)].reason is GapReason.SURPLUS
    assert short.gaps["clean"][day(9)].reason is GapReason.PARTIAL
    assert day(7) not in short.gaps["weekly"]


def test_an_estimate_lets_a_week_wait_for_its_days() -> None:
    of = rollups()
    works = [Work(chunk="w", phase="weekly", dates=(day(0),), seconds=10)]
    works += [Work(chunk=str(n), phase="clean", dates=(day(n),), seconds=10) for n in range(1, 8)]

    # Six days of the week one after another, then the week; the seventh is of the next one.
    assert elapsed(of, works, slots=1) == 80
    assert elapsed(of, works, slots=10) == 20


@pytest.mark.parametrize(
    ("phases", "options", "says"),
    [
        ([eg.phase("raw", every="week"), eg.phase("clean", "raw")], {}, "is a source"),
        ([eg.phase("raw"), eg.phase("clean", "raw", on="monday")], {}, "`on` is for"),
        ([eg.phase("raw"), eg.phase("clean", "raw", every="hour")], {}, "'day', 'week' or 'month'"),
        (
            [eg.phase("raw"), eg.phase("clean", "raw", every="week")],
            {"compare": {"order": "count"}},
            "only be compared by ids",
        ),
    ],
)
def test_a_grain_that_means_nothing_is_refused(
    phases: list[dict[str, Any]], options: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValidationError, match=says):
        eg.pipeline(*phases, **options)
