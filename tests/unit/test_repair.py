"""Which phases and dates a plan takes, which it leaves, and that a repair is a rebuild."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import date
from typing import Any
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st

from planner.gaps.gaps import GapReason, Skipped, SkipReason
from planner.pipeline.lookback import with_lookback
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Window
from planner.plan import choose as choose_module
from planner.plan.choose import Repair, choose
from tests.unit import examples as eg
from tests.unit import worlds
from tests.unit.examples import day, days, window
from tests.unit.worlds import World, costly


def dates(repair: Repair) -> dict[str, list[date]]:
    return {name: sorted(taken) for name, taken in repair.todo.items()}


def reasons(repair: Repair, name: str) -> dict[date, str]:
    return {each: gap.reason for each, gap in repair.todo[name].items()}


def left(repair: Repair) -> set[tuple[str, date, str]]:
    return {(each.phase, each.date, each.reason) for each in repair.skipped}


def decide(of: Pipeline, cover: eg.Cover, scope: Window, **options: object) -> Repair:
    """`choose` with every phase, unless others are given."""
    options.setdefault("phases", worlds.phases_of(of))
    return choose(of, eg.judge(of, cover, scope), scope=scope, **options)  # type: ignore[arg-type]


# -- what is taken ---------------------------------------------------------------------------


def test_nothing_is_done_where_nothing_is_short() -> None:
    of = eg.rolling(3)

    repair = decide(of, eg.covered(of, days(0, 20)), window(0, 20))

    assert repair == Repair(todo={}, skipped=(), owed={})


def test_a_date_that_is_short_in_several_phases_is_done_in_all_of_them() -> None:
    # Given a date that stopped at raw
    of = eg.rolling(0)
    cover = eg.covered(of, days(0, 9))
    eg.empty(cover, "clean", day(4))
    eg.empty(cover, "report", day(4))

    repair = decide(of, cover, window(0, 9))

    assert dates(repair) == {"clean": [day(4)], "report": [day(4)]}
    assert list(repair.todo) == ["clean", "report"]
    assert reasons(repair, "report") == {day(4): GapReason.MISSING}


def test_only_gaps_of_the_scope_are_taken() -> None:
    of = eg.rolling(0)
    cover = eg.covered(of, days(0, 9))
    eg.empty(cover, "clean", day(1), day(4), day(8))

    repair = decide(of, cover, window(2, 7))

    assert dates(repair)["clean"] == [day(4)]


def test_a_source_is_never_repaired() -> None:
    of = eg.rolling(0)
    cover = eg.covered(of, days(0, 9))
    eg.empty(cover, "raw", day(4))

    assert decide(of, cover, window(0, 9)).todo == {}


# -- cascade ---------------------------------------------------------------------------------


def test_repairing_a_date_redoes_every_date_whose_lookback_window_holds_it() -> None:
    # Given reports of four days, and a hole in what they are computed from
    of = eg.rolling(3)
    cover = eg.covered(of, days(0, 20))
    eg.empty(cover, "clean", day(10))

    repair = decide(of, cover, window(0, 20))

    # Then the date itself and the three after it are computed again, and no others
    assert dates(repair) == {"clean": [day(10)], "report": days(10, 13)}
    assert set(reasons(repair, "report").values()) == {GapReason.CASCADE}
    assert repair.owed == {}


def test_a_cascade_goes_on_through_the_phases_after_it_and_past_the_scope() -> None:
    # Given two phases in a row with lookback windows of 3 and 2 days before
    of = eg.pipeline(
        eg.phase("raw"),
        eg.phase("clean", "raw"),
        eg.phase("weekly", "clean", lookback_days=3),
        eg.phase("trend", "weekly", lookback_days=2),
    )
    cover = eg.covered(of, days(0, 30))
    eg.empty(cover, "clean", day(10))

    # When the scope ends with the hole
    repair = decide(of, cover, window(0, 10))

    assert dates(repair) == {
        "clean": [day(10)],
        "weekly": days(10, 13),
        "trend": days(10, 15),
    }


def test_a_cascade_passes_over_a_phase_that_is_not_run_through_what_it_owes() -> None:
    of = eg.pipeline(
        eg.phase("raw"),
        eg.phase("clean", "raw"),
        eg.phase("weekly", "clean", lookback_days=3),
        eg.phase("trend", "weekly", lookback_days=2),
    )
    cover = eg.covered(of, days(0, 30))
    eg.empty(cover, "clean", day(10))

    repair = decide(of, cover, window(0, 20), phases=["clean"])

    assert dates(repair) == {"clean": [day(10)]}
    assert repair.owed == {"weekly": frozenset(days(10, 13)), "trend": frozenset(days(10, 15))}
    assert repair.skipped == ()


def test_dates_without_rows_do_not_cascade() -> None:
    # Given reports that are not there for two of the days after the hole: shop closed
    of = eg.rolling(3)
    cover = eg.covered(of, [*days(0, 10), *days(13, 20)])
    eg.empty(cover, "clean", day(10))

    assert dates(decide(of, cover, window(0, 20)))["report"] == [day(10), day(13)]


def test_a_date_that_is_short_and_in_a_cascade_is_done_once_for_being_short() -> None:
    of = eg.rolling(3)
    cover = eg.covered(of, days(0, 20))
    eg.empty(cover, "clean", day(10))
    cover["shop.report"][day(11)] = eg.cell(1)

    repair = decide(of, cover, window(0, 20))

    assert reasons(repair, "report") == {
        day(10): GapReason.CASCADE,
        day(11): GapReason.PARTIAL,
        day(12): GapReason.CASCADE,
        day(13): GapReason.CASCADE,
    }


def test_without_cascade_only_what_is_short_is_done_and_nothing_is_owed() -> None:
    of = eg.rolling(3)
    cover = eg.covered(of, days(0, 20))
    eg.empty(cover, "clean", day(10))

    repair = decide(of, cover, window(0, 20), cascade=False)

    assert dates(repair) == {"clean": [day(10)]}
    assert repair.owed == {}


def test_what_an_earlier_run_owes_is_done_with_what_follows_from_it() -> None:
    # Given a complete warehouse, and a note that one report has to be computed again
    of = eg.pipeline(
        eg.phase("raw"), eg.phase("clean", "raw"), eg.phase("trend", "clean", lookback_days=2)
    )
    cover = eg.covered(of, days(0, 20))

    repair = decide(of, cover, window(0, 20), owed={"clean": [day(5)]})

    assert dates(repair) == {"clean": [day(5)], "trend": days(5, 7)}
    assert reasons(repair, "clean") == {day(5): GapReason.CASCADE}


def test_what_is_owed_is_done_without_cascade_too() -> None:
    of = eg.rolling(3)
    cover = eg.covered(of, days(0, 20))

    repair = decide(of, cover, window(0, 20), cascade=False, owed={"report": [day(5)]})

    assert dates(repair) == {"report": [day(5)]}


def test_an_owed_date_whose_window_was_not_counted_waits_for_another_plan() -> None:
    of = eg.rolling(3)
    cover = eg.covered(of, days(0, 20))

    repair = decide(of, cover, window(10, 12), owed={"report": [day(9), day(10), day(40)]})

    assert dates(repair) == {"report": [day(10)]}


# -- ready -----------------------------------------------------------------------------------


def test_a_date_whose_window_holds_a_gap_outside_the_plan_is_left() -> None:
    # Given a hole before the scope, within the lookback window of its first days
    of = eg.rolling(3)
    cover = eg.covered(of, days(0, 20))
    eg.empty(cover, "clean", day(8))
    eg.empty(cover, "report", day(10), day(11), day(12))

    # When the scope starts after the hole
    repair = decide(of, cover, window(10, 20))

    # Then the dates that would be computed over the hole are left, and it is said why
    assert dates(repair) == {"report": [day(12)]}
    assert repair.skipped == tuple(
        Skipped(
            phase="report",
            date=each,
            reason=SkipReason.UPSTREAM_MISSING,
            detail=f"clean {day(8)} is missing and is not part of this plan",
        )
        for each in (day(10), day(11))
    )


def test_a_date_whose_window_holds_a_gap_that_is_repaired_too_is_taken() -> None:
    of = eg.rolling(3)
    cover = eg.covered(of, days(0, 20))
    eg.empty(cover, "clean", day(8))
    eg.empty(cover, "report", day(10))

    repair = decide(of, cover, window(0, 20))

    assert repair.skipped == ()
    assert day(10) in repair.todo["report"]


def test_a_date_over_a_gap_of_a_phase_that_is_not_run_is_left() -> None:
    of = eg.rolling(3)
    cover = eg.covered(of, days(0, 20))
    eg.empty(cover, "clean", day(8))
    eg.empty(cover, "report", day(10))

    repair = decide(of, cover, window(0, 20), phases=["report"])

    assert repair.todo == {}
    assert left(repair) == {("report", day(10), SkipReason.UPSTREAM_MISSING)}


def test_a_date_is_not_computed_from_rows_that_still_have_to_be_computed_again() -> None:
    """Its own rows would be complete by count, and wrong."""
    # Given a gap, and rows before it that an earlier run owes
    of = eg.rolling(3)
    cover = eg.covered(of, days(0, 20))
    eg.empty(cover, "report", day(10))

    # When the phase that owes them is not run
    repair = decide(of, cover, window(0, 20), phases=["report"], owed={"clean": [day(8)]})

    # Then what would be computed from them waits, and is still owed where it is complete
    assert repair.todo == {}
    assert left(repair) == {("report", each, SkipReason.UPSTREAM_MISSING) for each in days(8, 11)}
    assert repair.skipped[0].detail == (
        f"clean {day(8)} has to be recomputed and is not part of this plan"
    )
    assert repair.owed == {
        "clean": frozenset([day(8)]),
        "report": frozenset([day(8), day(9), day(11)]),
    }


# -- in flight -------------------------------------------------------------------------------


def test_a_date_that_another_run_holds_is_left_to_it() -> None:
    of = eg.rolling(0)
    cover = eg.covered(of, days(0, 9))
    eg.empty(cover, "report", day(4), day(5))

    repair = decide(of, cover, window(0, 9), in_flight={("report", day(4)): "run-1"})

    assert dates(repair) == {"report": [day(5)]}
    assert repair.skipped == (
        Skipped(phase="report", date=day(4), reason=SkipReason.IN_FLIGHT, run_id="run-1"),
    )


def test_a_date_computed_from_what_another_run_holds_is_left_too() -> None:
    of = eg.rolling(2)
    cover = eg.covered(of, days(0, 9))
    eg.empty(cover, "clean", day(4))
    eg.empty(cover, "report", day(6), day(7))

    repair = decide(of, cover, window(0, 9), in_flight={("clean", day(4)): "run-1"})

    assert dates(repair) == {"report": [day(7)]}
    assert left(repair) == {
        ("clean", day(4), SkipReason.IN_FLIGHT),
        ("report", day(6), SkipReason.IN_FLIGHT),
    }
    assert {each.run_id for each in repair.skipped} == {"run-1"}


def test_a_date_that_reads_a_complete_one_which_another_run_holds_is_left() -> None:
    of = eg.rolling(2)
    cover = eg.covered(of, days(0, 9))
    eg.empty(cover, "report", day(6), day(7))

    repair = decide(of, cover, window(0, 9), in_flight={("clean", day(4)): "run-1"})

    assert dates(repair) == {"report": [day(7)]}
    assert left(repair) == {("report", day(6), SkipReason.IN_FLIGHT)}


def test_a_date_that_reads_one_whose_rows_may_still_come_is_left() -> None:
    of = eg.rolling(2)
    cover = eg.covered(of, days(0, 9))
    eg.empty(cover, "report", day(6), day(7))
    found = eg.judge(of, cover, window(0, 9))
    is_open = Skipped(phase="clean", date=day(4), reason=SkipReason.OPEN)

    repair = choose(
        of,
        replace(found, empty={**found.empty, "clean": {day(4): is_open}}),
        scope=window(0, 9),
        phases=worlds.phases_of(of),
    )

    assert dates(repair) == {"report": [day(7)]}
    assert ("report", day(6), SkipReason.OPEN) in left(repair)


def test_a_complete_date_that_another_run_holds_and_that_turns_stale_is_owed() -> None:
    of = eg.rolling(1)
    cover = eg.covered(of, days(0, 9))
    eg.empty(cover, "clean", day(4))

    repair = decide(of, cover, window(0, 9), in_flight={("report", day(5)): "run-1"})

    assert dates(repair) == {"clean": [day(4)], "report": [day(4)]}
    assert repair.owed == {"report": frozenset([day(5)])}


# -- limit -----------------------------------------------------------------------------------


def test_a_limit_keeps_the_first_dates_with_gaps_in_all_their_phases() -> None:
    of = eg.rolling(0)
    cover = eg.covered(of, days(0, 9))
    eg.empty(cover, "clean", day(2), day(5))
    eg.empty(cover, "report", day(2), day(3), day(5))

    repair = decide(of, cover, window(0, 9), limit=2)

    assert dates(repair) == {"clean": [day(2)], "report": [day(2), day(3)]}


def test_newest_first_limits_to_the_last_dates() -> None:
    of = eg.rolling(0)
    cover = eg.covered(of, days(0, 9))
    eg.empty(cover, "report", day(2), day(3), day(5))

    repair = decide(of, cover, window(0, 9), limit=2, newest_first=True)

    assert dates(repair) == {"report": [day(3), day(5)]}


def test_a_limit_counts_dates_that_can_be_done() -> None:
    # Given three dates with gaps, of which another run has the first
    of = eg.rolling(0)
    cover = eg.covered(of, days(0, 9))
    for each in (2, 4, 6):
        eg.empty(cover, "clean", day(each))
    held = {("clean", day(2)): "run-other", ("report", day(2)): "run-other"}

    repair = decide(of, cover, window(0, 9), limit=1, in_flight=held)

    assert list(repair.todo["clean"]) == [day(4)]
    assert [(left.phase, left.date) for left in repair.skipped] == [("clean", day(2))] * 1


def test_a_limit_still_does_all_that_follows_from_what_it_keeps() -> None:
    of = eg.rolling(3)
    cover = eg.covered(of, days(0, 20))
    eg.empty(cover, "clean", day(2), day(15))

    repair = decide(of, cover, window(0, 20), limit=1)

    assert dates(repair) == {"clean": [day(2)], "report": days(2, 5)}


# -- how far it looks ------------------------------------------------------------------------


def test_coverage_is_read_as_far_around_the_scope_as_windows_reach_in_a_row() -> None:
    of = eg.pipeline(
        eg.phase("raw"),
        eg.phase("clean", "raw", lookback_days=1),
        eg.phase("weekly", "clean", lookback_days=6),
        eg.phase("side", "raw", lookback_days=5),
    )

    assert with_lookback(of, window(10, 12)) == window(3, 19)


def test_days_at_the_ends_of_the_calendar_are_not_passed() -> None:
    of = eg.rolling(30)

    wide = with_lookback(of, Window(start=date.min, end=date.max))

    assert wide == Window(start=date.min, end=date.max)


def test_a_gap_on_the_first_day_there_is_can_be_repaired() -> None:
    of = eg.rolling(30)
    cover = eg.covered(of, [date.min])
    eg.empty(cover, "report", date.min)

    repair = decide(of, cover, Window(start=date.min, end=date.min))

    assert dates(repair) == {"report": [date.min]}


# -- properties ------------------------------------------------------------------------------


@costly
@given(broken=worlds.broken_worlds(), chance=st.randoms(use_true_random=False))
def test_after_a_repair_of_everything_nothing_is_short(
    broken: tuple[World, eg.Cover, list[tuple[str, date]]], chance: random.Random
) -> None:
    world, cover, short = broken
    repair = choose(
        world.pipeline,
        world.judge(cover),
        scope=worlds.SCOPE,
        phases=worlds.phases_of(world.pipeline),
    )

    world.execute(repair, cover, world.rebuilt(), chance)

    assert set(short) <= worlds.cells_of(repair.todo)
    assert repair.skipped == ()
    assert repair.owed == {}
    assert not any(world.judge(cover).gaps.values())


@costly
@given(data=st.data(), broken=worlds.broken_worlds(), chance=st.randoms(use_true_random=False))
def test_a_second_plan_finds_only_what_the_first_one_left(
    data: st.DataObject,
    broken: tuple[World, eg.Cover, list[tuple[str, date]]],
    chance: random.Random,
) -> None:
    world, cover, _ = broken
    scope = data.draw(worlds.scopes())
    phases = data.draw(worlds.some_phases(world.pipeline))
    in_flight = dict.fromkeys(data.draw(st.just([]) | worlds.some(world)), "run-1")
    cascade = data.draw(st.booleans())

    def decided(owed: Mapping[str, Collection[date]]) -> Repair:
        return choose(
            world.pipeline,
            eg.judge(world.pipeline, cover, scope),
            scope=scope,
            phases=phases,
            cascade=cascade,
            owed=owed,
            in_flight=in_flight,
        )

    # When what is planned is done, in any order that the windows allow
    first = decided({})
    world.execute(first, cover, world.rebuilt(), chance)

    # Then what is still short in the scope was skipped, or is of another phase
    still_short = {
        (name, each)
        for name, each in worlds.cells_of(world.judge(cover).gaps)
        if name in phases and each in scope
    }
    assert still_short <= {(each.phase, each.date) for each in first.skipped}
    # and a second plan has nothing to do
    second = decided(first.owed)
    assert second.todo == {}
    assert second.owed == first.owed


@costly
@given(data=st.data(), world=worlds.worlds(), chance=st.randoms(use_true_random=False))
def test_whatever_a_plan_takes_is_computed_as_if_in_one_piece(
    data: st.DataObject, world: World, chance: random.Random
) -> None:
    # Given right rows everywhere, of which some are lost
    whole = world.rebuilt()
    cover, values = world.coverage(), dict(whole)
    lost = data.draw(worlds.some(world))
    for pair in lost:
        world.remove(cover, *pair)
        del values[pair]

    # When any part of that is repaired
    scope = data.draw(worlds.scopes())
    phases = data.draw(worlds.some_phases(world.pipeline))
    limit = data.draw(st.none() | st.integers(1, 3))
    repair = choose(
        world.pipeline,
        eg.judge(world.pipeline, cover, scope),
        scope=scope,
        phases=phases,
        limit=limit,
        newest_first=data.draw(st.booleans()),
        in_flight=dict.fromkeys(data.draw(st.just([]) | worlds.some(world)), "run-1"),
    )
    world.execute(repair, cover, values, chance)

    # Then every value that is there is right, and what is not there was out of the plan's reach
    assert values == {pair: whole[pair] for pair in values}
    skipped = {(each.phase, each.date) for each in repair.skipped}
    for name, each in set(whole) - set(values):
        assert limit or each not in scope or name not in phases or (name, each) in skipped


def history(data: st.DataObject, world: World) -> tuple[eg.Cover, worlds.Values]:
    """Rows as years of runs left them: holes, and dates computed while there were holes."""
    cover, values = world.coverage(), world.rebuilt()
    holes = set(data.draw(worlds.some(world)))
    again = set(data.draw(st.just(world.due) | worlds.some(world)))
    for pair in world.due:
        if pair in holes:
            world.remove(cover, *pair)
            del values[pair]
        elif pair in again:
            values[pair] = world.compute(values, *pair)
    return cover, values


@costly
@given(data=st.data(), world=worlds.worlds(), chance=st.randoms(use_true_random=False))
def test_a_repair_of_everything_is_a_rebuild(
    data: st.DataObject, world: World, chance: random.Random
) -> None:
    """Dates that were computed over holes look complete, and are wrong: the cascade finds them."""
    cover, values = history(data, world)

    repair = choose(
        world.pipeline,
        world.judge(cover),
        scope=worlds.SCOPE,
        phases=worlds.phases_of(world.pipeline),
    )
    world.execute(repair, cover, values, chance)

    assert values == world.rebuilt()


@costly
@given(data=st.data(), world=worlds.worlds(), chance=st.randoms(use_true_random=False))
def test_whatever_is_wrong_after_a_partial_repair_is_on_the_books_and_repaired_next(
    data: st.DataObject, world: World, chance: random.Random
) -> None:
    cover, values = history(data, world)
    whole = world.rebuilt()

    # When some phases of some dates are repaired
    scope = data.draw(worlds.scopes())
    first = choose(
        world.pipeline,
        eg.judge(world.pipeline, cover, scope),
        scope=scope,
        phases=data.draw(worlds.some_phases(world.pipeline)),
        limit=data.draw(st.none() | st.integers(1, 3)),
        in_flight=dict.fromkeys(data.draw(st.just([]) | worlds.some(world)), "run-1"),
    )
    world.execute(first, cover, values, chance)

    # Then nothing was computed from rows that are owed
    owed = worlds.cells_of(first.owed)
    for name, taken in first.todo.items():
        for each in taken:
            assert not owed.intersection(world.windows(name, each))
    # and every wrong value is owed, or computed from a date that is short or owed
    short = worlds.cells_of(world.judge(cover).gaps)
    wrong = {pair for pair in whole if values.get(pair) != whole[pair]}
    assert wrong <= world.tainted(short | owed)

    # And when everything is repaired, with the notes of what is owed
    second = choose(
        world.pipeline,
        world.judge(cover),
        scope=worlds.SCOPE,
        phases=worlds.phases_of(world.pipeline),
        owed=first.owed,
    )
    world.execute(second, cover, values, chance)

    # Then it is as if it had been built in one piece
    assert values == whole


@costly
@given(data=st.data(), broken=worlds.broken_worlds(), chance=st.randoms(use_true_random=False))
def test_only_dates_in_question_need_their_windows_looked_at(
    data: st.DataObject,
    broken: tuple[World, eg.Cover, list[tuple[str, date]]],
    chance: random.Random,
) -> None:
    world, cover, _ = broken
    found = world.judge(cover)
    pairs = [(name, each) for name in found.gaps for each in found.window.days()]
    options: dict[str, Any] = {
        "scope": worlds.SCOPE,
        "phases": data.draw(st.sets(st.sampled_from(worlds.phases_of(world.pipeline)))),
        "cascade": data.draw(st.booleans()),
        "in_flight": dict.fromkeys(chance.sample(pairs, chance.randrange(4)), "run-other"),
    }

    fast = choose(world.pipeline, found, **options)

    everything = set(found.window.days())
    with patch.object(choose_module, "_in_question", lambda *_: everything):
        assert choose(world.pipeline, found, **options) == fast
