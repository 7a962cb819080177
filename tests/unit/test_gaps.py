"""Every phase and date is complete, short for a reason, or legitimately empty."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.gaps.gaps import Assessment, Gap, GapReason, SkipReason
from sql.warehouse import Cell
from tests.unit import examples as eg
from tests.unit import worlds
from tests.unit.examples import cell, day, days, window
from tests.unit.worlds import World, costly

DAY = day(5)


def why(assessment: Assessment, name: str) -> dict[date, str]:
    return {each: left.reason for each, left in assessment.empty[name].items()}


# -- short -----------------------------------------------------------------------------------


def test_complete_dates_are_no_gaps() -> None:
    of = eg.pipeline()

    assessment = eg.assessed(of, eg.covered(of, days(0, 9)), window(0, 9))

    assert not any(assessment.gaps.values())
    assert set(assessment.complete.values()) == {frozenset(days(0, 9))}


def test_a_date_without_rows_is_missing() -> None:
    of = eg.pipeline()
    cover = eg.covered(of, days(0, 9))
    eg.empty(cover, "clean", DAY)

    assessment = eg.assessed(of, cover, window(0, 9))

    assert assessment.gaps["clean"] == {
        DAY: Gap(
            phase="clean",
            date=DAY,
            reason=GapReason.MISSING,
            expected=4,
            found=0,
            tables=("shop.clean",),
            findings=assessment.gaps["clean"][DAY].findings,
        )
    }
    assert assessment.gaps["clean"][DAY].detail == "shop.clean holds 0 of 4 orders"
    assert DAY not in assessment.complete["clean"]


def test_a_date_with_fewer_entities_than_upstream_is_partial() -> None:
    # Given 2 of 4 orders, though a table's rows are there
    of = eg.pipeline()
    cover = eg.covered(of, days(0, 9))
    cover["shop.clean"][DAY] = cell(2)

    gap = eg.assessed(of, cover, window(0, 9)).gaps["clean"][DAY]

    assert (gap.reason, gap.expected, gap.found) == (GapReason.PARTIAL, 4, 2)


def test_every_entity_counts_and_not_only_the_first() -> None:
    of = eg.pipeline()
    cover = eg.covered(of, days(0, 9))
    cover["shop.clean"][DAY] = cell(4, items=3)

    gap = eg.assessed(of, cover, window(0, 9)).gaps["clean"][DAY]

    assert (gap.reason, gap.expected, gap.found) == (GapReason.PARTIAL, 4, 3)


def test_dates_are_compared_one_by_one_and_not_by_their_number() -> None:
    """As many dates as upstream, and entities as well, but of other days."""
    of = eg.pipeline()
    cover = eg.covered(of, days(0, 3))
    cover["shop.clean"] = dict.fromkeys(days(4, 7), cell(4))

    assessment = eg.assessed(of, cover, window(0, 9))

    assert sorted(assessment.gaps["clean"]) == days(0, 3)
    assert assessment.complete["clean"] == frozenset()


def test_a_phase_is_measured_by_the_source_and_not_only_by_the_phase_before_it() -> None:
    # Given a date of which the second phase lost half, and the third did all that it saw
    of = eg.pipeline()
    cover = eg.covered(of, days(0, 9))
    cover["shop.clean"][DAY] = cell(2)
    cover["shop.report"][DAY] = cell(2)

    assessment = eg.assessed(of, cover, window(0, 9))

    assert assessment.gaps["report"][DAY].expected == 4


def test_a_phase_is_all_its_tables() -> None:
    # Given three tables: complete, short, and absent
    tables = [eg.table(name) for name in ("one", "two", "three")]
    of = eg.pipeline(eg.phase("raw"), eg.phase("clean", "raw", tables=tables))
    cover = eg.covered(of, [DAY])
    cover["shop.two"][DAY] = cell(3)
    eg.empty(cover, "three", DAY)

    gap = eg.assessed(of, cover, window(0, 9)).gaps["clean"][DAY]

    # Then the date is partial, and shown by the table that is shortest
    assert gap.tables == ("shop.two", "shop.three")
    assert (gap.reason, gap.expected, gap.found) == (GapReason.PARTIAL, 4, 0)


def test_a_date_is_missing_only_when_every_table_lacks_it() -> None:
    tables = [eg.table("one"), eg.table("two")]
    of = eg.pipeline(eg.phase("raw"), eg.phase("clean", "raw", tables=tables))
    cover = eg.covered(of, [DAY])
    eg.empty(cover, "one", DAY)
    eg.empty(cover, "two", DAY)

    assert eg.assessed(of, cover, window(0, 9)).gaps["clean"][DAY].reason is GapReason.MISSING


def test_of_several_sources_the_one_that_holds_most_decides() -> None:
    of = eg.pipeline(
        eg.phase("raw", tables=[eg.table("one"), eg.table("two")]), eg.phase("clean", "raw")
    )
    cover = eg.covered(of, [DAY], orders=2)
    cover["shop.two"][DAY] = cell(3)

    assessment = eg.assessed(of, cover, window(0, 9))

    assert assessment.gaps["clean"][DAY].expected == 3
    assert assessment.held["raw"] == {DAY: 3}


def test_a_table_that_counts_nothing_of_upstream_needs_rows() -> None:
    counts_nothing = eg.table("clean", entities={})
    other = eg.table("clean", entities={"store": "store_id"})
    for spec in (counts_nothing, other):
        of = eg.pipeline(eg.phase("raw"), eg.phase("clean", "raw", tables=[spec]))
        cover = eg.covered(of, [DAY])

        cover["shop.clean"] = {DAY: Cell(rows=1, entities={"store": 0})}
        assert eg.assessed(of, cover, window(0, 9)).complete["clean"] == {DAY}

        cover["shop.clean"] = {}
        gap = eg.assessed(of, cover, window(0, 9)).gaps["clean"][DAY]
        assert (gap.reason, gap.expected, gap.found) == (GapReason.MISSING, 1, 0)


@pytest.mark.parametrize(
    ("share", "upstream", "enough"),
    [
        (1.0, 10, 10),
        (0.9, 10, 9),
        (0.85, 10, 9),
        (0.55, 100, 55),  # 0.55 × 100 is 55.00000000000001 in floats
        (0.07, 100, 7),
        (0.29, 100, 29),
        (0.333333333, 3_000_000_000, 999_999_999),
        (0.0, 10, 0),
    ],
)
def test_min_coverage_is_the_share_that_is_enough(share: float, upstream: int, enough: int) -> None:
    spec = eg.table("clean", entities={"order": "order_id"}, min_coverage=share)
    of = eg.pipeline(eg.phase("raw"), eg.phase("clean", "raw", tables=[spec]))
    cover = eg.covered(of, [DAY], orders=upstream)

    cover["shop.clean"][DAY] = Cell(rows=1, entities={"order": enough})
    assert eg.assessed(of, cover, window(0, 9)).complete["clean"] == {DAY}

    if enough:
        cover["shop.clean"][DAY] = Cell(rows=1, entities={"order": enough - 1})
        assert eg.assessed(of, cover, window(0, 9)).gaps["clean"][DAY].expected == enough


def test_without_coverage_there_is_no_judgement() -> None:
    """A table that did not answer is an error, and never a gap."""
    of = eg.pipeline()
    cover = eg.covered(of, days(0, 9))
    del cover["shop.report"]

    with pytest.raises(KeyError, match=r"shop\.report"):
        eg.assessed(of, cover, window(0, 9))


# -- empty -----------------------------------------------------------------------------------


def test_a_day_without_source_rows_is_an_off_day_in_every_phase() -> None:
    of = eg.pipeline()

    assessment = eg.assessed(of, eg.covered(of, [day(1)]), window(0, 2))

    for name in ("raw", "clean", "report"):
        assert why(assessment, name) == {day(0): SkipReason.OFF_DAY, day(2): SkipReason.OFF_DAY}
        assert assessment.is_due(name, day(1))
        assert not assessment.is_due(name, day(2))


def test_the_bootstrap_is_empty_in_phases_that_skip_it_and_in_all_after_them() -> None:
    of = eg.pipeline(
        eg.phase("raw"),
        eg.phase("clean", "raw"),
        eg.phase("trend", "clean", skips_bootstrap=True),
        eg.phase("report", "trend"),
        bootstrap_days=3,
    )
    cover = eg.covered(of, days(0, 5))
    for name in ("trend", "report"):
        eg.empty(cover, name, *days(0, 3))

    assessment = eg.assessed(of, cover, window(0, 5))

    assert why(assessment, "clean") == {}
    for name in ("trend", "report"):
        assert why(assessment, name) == dict.fromkeys(days(0, 2), SkipReason.BOOTSTRAP)
        assert list(assessment.gaps[name]) == [day(3)]


def test_an_off_day_in_the_bootstrap_is_an_off_day() -> None:
    of = eg.pipeline(
        eg.phase("raw"), eg.phase("clean", "raw", skips_bootstrap=True), bootstrap_days=3
    )

    assert why(eg.assessed(of, eg.covered(of, [day(0)]), window(0, 1)), "clean") == {
        day(0): SkipReason.BOOTSTRAP,
        day(1): SkipReason.OFF_DAY,
    }


def test_excluded_days_are_empty_whatever_they_hold() -> None:
    of = eg.pipeline(exclude=[{"start": day(1), "end": day(2), "reason": "stocktaking"}])
    cover = eg.covered(of, days(0, 4))
    eg.empty(cover, "clean", day(2))

    assessment = eg.assessed(of, cover, window(0, 4))

    for name in ("raw", "clean", "report"):
        assert why(assessment, name) == dict.fromkeys(days(1, 2), SkipReason.EXCLUDED)
    assert not any(assessment.gaps.values())


def test_a_phase_of_which_one_upstream_is_empty_is_empty_as_well() -> None:
    of = eg.pipeline(
        eg.phase("raw"),
        eg.phase("prices"),
        eg.phase("early", "raw", skips_bootstrap=True),
        eg.phase("both", "raw", "prices"),
        eg.phase("late", "raw", "early"),
        bootstrap_days=1,
    )
    cover = eg.covered(of, days(0, 2))
    eg.empty(cover, "prices", day(1))

    assessment = eg.assessed(of, cover, window(0, 2))

    assert why(assessment, "both") == {day(1): SkipReason.UPSTREAM_MISSING}
    assert why(assessment, "late") == {day(0): SkipReason.BOOTSTRAP}


# -- what is held ----------------------------------------------------------------------------


def test_a_phase_holds_what_all_its_tables_hold() -> None:
    tables = [eg.table("one"), eg.table("two"), eg.table("items", entities={"item": "item_id"})]
    of = eg.pipeline(
        eg.phase("raw"),
        eg.phase("clean", "raw", tables=tables),
        eg.phase("items_only", "raw", tables=[eg.table("x", entities={"item": "item_id"})]),
    )
    cover = eg.covered(of, days(0, 2))
    cover["shop.two"][day(1)] = cell(1)
    eg.empty(cover, "one", day(2))

    assessment = eg.assessed(of, cover, window(0, 2))

    assert assessment.held["clean"] == {day(0): 4, day(1): 1, day(2): 0}
    assert "items_only" not in assessment.held


# -- properties ------------------------------------------------------------------------------


@costly
@given(broken=worlds.broken_worlds())
def test_every_phase_and_date_is_exactly_one_of_complete_short_and_empty(
    broken: tuple[World, eg.Cover, list[tuple[str, date]]],
) -> None:
    world, cover, short = broken

    assessment = eg.assessed(world.pipeline, cover, worlds.SCOPE)

    for phase in world.pipeline.phases:
        complete, gaps = assessment.complete[phase.name], set(assessment.gaps[phase.name])
        empty = set(assessment.empty[phase.name])
        assert complete | gaps | empty == set(worlds.SCOPE.days())
        assert len(complete) + len(gaps) + len(empty) == worlds.DAYS
        assert set(assessment.expected[phase.name]) == complete | gaps
        assert all(left.reason in SkipReason for left in assessment.empty[phase.name].values())
        assert all(gap.found < gap.expected for gap in assessment.gaps[phase.name].values())
    assert worlds.cells_of(assessment.gaps) == set(short)


@costly
@given(data=st.data(), broken=worlds.broken_worlds())
def test_a_date_is_judged_alike_whatever_else_is_looked_at(
    data: st.DataObject, broken: tuple[World, eg.Cover, list[tuple[str, date]]]
) -> None:
    world, cover, _ = broken
    part = data.draw(worlds.scopes())

    alone, wide = eg.assessed(world.pipeline, cover, part), world.judge(cover)

    for phase in world.pipeline.phases:
        for of_alone, of_wide in (
            (alone.gaps[phase.name], wide.gaps[phase.name]),
            (alone.empty[phase.name], wide.empty[phase.name]),
        ):
            assert of_alone == {each: of_wide[each] for each in of_wide if each in part}
