"""What a source is expected to hold, and what is made of it when it does not."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from planner.gaps.assess import assess
from planner.gaps.gaps import SHORT, SkipReason
from planner.pipeline.closing import Closing
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Window
from planner.plan.choose import choose
from planner.report.history import open_gaps
from tests.unit import examples as eg
from tests.unit.examples import day, days, window
from tests.unit.worlds import DAYS, SCOPE, World, bounded, costly, phases_of, worlds


@pytest.mark.parametrize(
    ("expects", "said"),
    [
        ({"days": "weekly"}, "Input should be 'any' or 'daily'"),
        ({"days": []}, "days is empty"),
        ({"days": ["mon", "mo"]}, "Input should be 'monday', 'tuesday'"),
        ({"days": {"table": "shop.plan"}}, "phases.0.expects.days.table.date"),
        ({"days": 7}, 'write "any", "daily", weekdays such as ["mon"], or a table'),
        ({"entities": {"shop": 3}}, "no table of 'raw' counts 'shop'; known entities: item, order"),
        ({"entities": {"order": 0}}, "greater than or equal to 1"),
        ({"against": {"table": "shop.plan", "date": "day"}}, "against names no entities"),
        (
            {"against": {"table": "shop.plan", "date": "day", "entities": {"game": "id"}}},
            "no table of 'raw' counts 'game'",
        ),
        ({"late_after": "soon"}, "is no time"),
        ({"day": "daily"}, "unknown key 'day'; did you mean 'days'?"),
    ],
    ids=str,
)
def test_an_expectation_that_cannot_be_met_is_refused(expects: Any, said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        eg.pipeline(eg.phase("raw", expects=expects), eg.phase("clean", "raw"))

    assert said in str(refused.value)


def test_only_a_source_has_expectations() -> None:
    with pytest.raises(ValidationError, match="has `expects`, and comes after others"):
        eg.pipeline(eg.phase("raw"), eg.phase("clean", "raw", expects={"days": "daily"}))


def test_a_table_says_what_is_expected_of_it_in_place_of_its_phase() -> None:
    tables = [eg.table("raw"), eg.table("web", expects={"days": "any"})]
    of = eg.pipeline(
        eg.phase("raw", tables=tables, expects={"days": "daily"}), eg.phase("clean", "raw")
    )
    raw = of.by_name["raw"]

    assert [getattr(raw.expected(spec), "days", None) for spec in raw.tables] == ["daily", "any"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seasons": []}, "it covers no days"),
        ({"start": day(1)}, "season '2024' begins before start"),
        ({"end": day(9)}, "end is 2024-01-10, and the days that it names go on until 2024-12-31"),
        ({"seasons": [], "start": day(9), "end": day(8)}, "go on until 2024-01-10"),
    ],
    ids=str,
)
def test_a_calendar_that_covers_nothing_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        eg.pipeline(**options)

    assert said in str(refused.value)


# -- whatever a source holds -----------------------------------------------------------------------


def naive_gone(world: World, coverage: eg.Cover, phase: str, on: date) -> bool:
    """Whether a source is before its first rows, and something below it is not, by its words.

    Rows of a week or month are of all its days, so a source may begin within it.
    """
    of = world.pipeline
    own = [each for spec in of.by_name[phase].tables for each in coverage[spec.name]]
    first = min(own, default=date.max)
    below = [
        other.grain.period(each)
        for other in of.phases
        if phase in of.ancestors[other.name]
        for spec in other.tables
        for each in coverage[spec.name]
    ]
    return any(each.end < first and each.start <= on < first for each in below)


@costly
@given(data=st.data())
def test_a_plan_never_takes_what_is_open_unjudged_or_computed_from_what_is_gone(
    data: st.DataObject,
) -> None:
    # Given a pipeline whose sources have lost their oldest days, on one of its days
    world = data.draw(worlds())
    of, coverage = world.pipeline, world.coverage()
    sources = [phase.name for phase in of.phases if phase.is_source]
    for name in sources:
        for n in range(data.draw(st.integers(0, DAYS))):
            world.remove(coverage, name, day(n))
    for name in phases_of(of):
        for n in data.draw(st.lists(st.integers(0, DAYS - 1), max_size=4)):
            world.remove(coverage, name, day(n))
    today = day(data.draw(st.integers(0, DAYS + 3)))
    now = datetime.combine(today, time(12), UTC)
    closing = Closing(pipeline=of, now=now)
    seen = world.sound.window
    found = assess(of, eg.shown(of, coverage, seen), seen, closing=closing)

    repair = choose(of, found, scope=SCOPE, phases=phases_of(of))

    # Then nothing is taken that is not closed, or whose sources are gone
    gone = {
        (name, each)
        for name in sources
        for each in seen.days()
        if naive_gone(world, coverage, name, each)
    }
    for name, taken in repair.todo.items():
        for each in taken:
            assert each < today
            above = [source for source in sources if source in of.ancestors[name]]
            assert not any((source, each) in gone for source in above)
            assert not any(pair in gone for pair in world.windows(name, each))
    for name in sources:
        for each in SCOPE.days():
            left = found.empty[name].get(each)
            is_unjudged = left is not None and left.reason is SkipReason.UNJUDGED
            excluded = any(each in part.window for part in of.exclude)
            if each < today and not excluded:
                assert is_unjudged == ((name, each) in gone)


def expecting(**expects: Any) -> Pipeline:
    return eg.pipeline(
        eg.phase("raw", expects=expects), eg.phase("clean", "raw"), eg.phase("report", "clean")
    )


@bounded
@given(
    held=st.dictionaries(st.integers(0, 9), st.integers(1, 6)),
    least=st.integers(1, 6),
    hours=st.integers(0, 72),
    now=st.integers(0, 14 * 24),
)
def test_a_daily_source_is_short_of_what_is_due_and_over(
    held: dict[int, int], least: int, hours: int, now: int
) -> None:
    # Given a source that should hold some orders every day, and may take some hours
    of = expecting(days="daily", entities={"order": least}, late_after=f"{hours}h")
    cover = {spec.name: {} for phase in of.phases for spec in phase.tables}
    for n, orders in held.items():
        for table in cover:
            cover[table][day(n)] = eg.cell(orders)
    moment = datetime.combine(day(0), time(), UTC) + timedelta(hours=now)
    scope = Window(start=day(0), end=max(day(10), moment.date()))

    found = assess(of, eg.shown(of, cover, scope), scope, closing=Closing(pipeline=of, now=moment))

    # Then each day is open, short or complete, as a person would say
    for n in range(11):
        ends = datetime.combine(day(n + 1), time(), UTC)
        is_enough = held.get(n, 0) >= least
        state = "complete" if is_enough else "short"
        if moment < ends or (not is_enough and moment < ends + timedelta(hours=hours)):
            state = "open"
        gap, left = found.gaps["raw"].get(day(n)), found.empty["raw"].get(day(n))
        assert (state == "complete") == (day(n) in found.complete["raw"])
        assert (state == "short") == (gap is not None and gap.reason in SHORT)
        assert (state == "open") == (left is not None and left.reason is SkipReason.OPEN)
        if gap is not None:
            is_last = not any(other > n for other in held)
            absent = "late" if is_last else "missing"
            assert gap.reason == ("partial" if n in held else absent)


def test_what_a_watched_phase_holds_up_is_named_along_the_chain() -> None:
    of = expecting(entities={"order": 4})
    cover = eg.covered(of, days(0, 9))
    cover["shop.raw"][day(5)] = eg.cell(3)
    eg.empty(cover, "clean", day(5))
    eg.empty(cover, "report", day(5))

    repair = choose(of, eg.judge(of, cover, window(0, 9)), scope=window(0, 9), phases=phases_of(of))

    assert repair.todo == {}
    (left,) = [each for each in repair.skipped if each.reason is SkipReason.WATCHED]
    assert (left.phase, left.date) == ("raw", day(5))
    assert left.detail == (
        "shop.raw holds 3 of 4 orders; raw has no runner here, and clean, report wait for it"
    )


def test_the_week_of_the_page_about_days_is_as_it_is_drawn() -> None:
    # Given the week of docs/which-days.md, from a Monday, on its Friday at noon
    monday = date(2024, 1, 29)
    week = [monday + timedelta(days=n) for n in range(5)]
    of = eg.pipeline(
        eg.phase("raw", expects={"days": "daily", "late_after": "36h"}),
        eg.phase("clean", "raw"),
        eg.phase("report", "clean", lookback_days=3, skips_bootstrap=True),
        eg.phase("monthly", "clean", every="month", dated="last"),
        seasons=[],
        start=monday,
        bootstrap_days=3,
        closes_after="6h",
    )
    cover = eg.covered(of, week[:2])
    cover |= {"shop.report": {}, "shop.monthly": {}}
    noon = datetime.combine(week[4], time(12), UTC)

    scope = Window(start=monday, end=week[4])
    found = assess(of, eg.shown(of, cover, scope), scope, closing=Closing(pipeline=of, now=noon))

    def states(phase: str) -> list[str]:
        gaps, empty = found.gaps[phase], found.empty[phase]
        return [
            str(gaps[each].reason if each in gaps else empty[each].reason)
            if each in gaps or each in empty
            else "complete"
            for each in week
        ]

    # Then each of its days is what the picture says
    page = (Path(__file__).parents[2] / "docs" / "which-days.md").read_text(encoding="utf-8")
    drawn = {
        name: rest
        for name, *rest in (line.split() for line in page.split("```")[1].splitlines() if line)
        if len(rest) == len(week)
    }
    names = {"orders": "raw", "daily": "clean", "trend": "report", "monthly": "monthly"}
    assert drawn == {told: states(phase) for told, phase in names.items()}
    # and nothing is run
    assert choose(of, found, scope=scope, phases=phases_of(of)).todo == {}


def test_a_gap_whose_source_is_gone_is_not_healed_in_the_history() -> None:
    of = eg.pipeline(start=day(0), seasons=[])
    cover = eg.covered(of, days(0, 9))
    eg.empty(cover, "raw", *days(0, 4))
    eg.empty(cover, "clean", day(3))

    found = open_gaps(eg.judge(of, cover, window(0, 9)), {}, window(0, 9))

    reasons = {(gap.phase, gap.date): gap.reason for gap in found}
    assert reasons["clean", day(3)] == "unjudged"
    assert set(reasons) == {(name, each) for name in of.by_name for each in days(0, 4)}
