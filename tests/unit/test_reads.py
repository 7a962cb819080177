"""Windows that reach back and forward: what a date is computed from, and what it changes."""

from __future__ import annotations

import random
from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from planner.gaps.assess import assess
from planner.gaps.gaps import SHORT, Assessment, SkipReason
from planner.pipeline.lookback import closing_day, lookback, reach, with_lookback
from planner.pipeline.pipeline import Pipeline
from planner.plan.choose import can_recompute, choose
from planner.plan.chunks import Chunk, chunk
from planner.plan.simulate import Work, elapsed
from tests.unit import examples as eg
from tests.unit import worlds
from tests.unit.examples import day, days, window
from tests.unit.worlds import SCOPE, Cells, World, bounded, costly

SMOOTH = {"reads": {"from": -1, "to": 2}}


def smoothed(**options: Any) -> Pipeline:
    """raw → clean → smooth, where a smooth date reads one day before it and two after it."""
    return eg.pipeline(
        eg.phase("raw"), eg.phase("clean", "raw"), eg.phase("smooth", "clean", **SMOOTH), **options
    )


# -- the window ------------------------------------------------------------------------------


@bounded
@given(worlds.pipelines(), st.integers(0, 30), st.integers(0, 30))
def test_a_date_changes_what_it_is_read_by_and_nothing_else(of: Pipeline, n: int, m: int) -> None:
    for phase in of.phases:
        if not phase.grain.is_date(day(m)):
            assert day(m) not in reach([day(n)], phase)
            continue
        assert (day(n) in lookback(day(m), phase)) == (day(m) in reach([day(n)], phase))


def test_lookback_days_is_the_short_form() -> None:
    short = eg.phase("clean", "raw", lookback_days=30)
    long = eg.phase("clean", "raw", reads={"from": -30})
    windows = [
        lookback(day(40), eg.pipeline(eg.phase("raw"), each).phases[1]) for each in (short, long)
    ]

    assert windows == [window(10, 40)] * 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"lookback_days": 3, "reads": {"from": -3}}, "say the same"),
        ({"reads": {"from": 1, "to": 2}}, "less than or equal to 0"),
        ({"reads": {"from": -3, "to": -1}}, "greater than or equal to 0"),
        ({"reads": {"from": -3, "until": 1}}, "unknown key 'until'"),
    ],
)
def test_a_window_that_says_two_things_or_leaves_the_date_out_is_refused(
    options: dict[str, Any], says: str
) -> None:
    with pytest.raises(ValidationError, match=says):
        eg.pipeline(eg.phase("raw"), eg.phase("clean", "raw", **options))


# -- what a plan does ------------------------------------------------------------------------


def test_a_date_is_ready_only_when_what_it_reads_after_it_is_there() -> None:
    of = smoothed()
    cover = eg.covered(of, days(0, 20))
    eg.empty(cover, "clean", day(10))
    eg.empty(cover, "smooth", *days(8, 12))

    alone = choose(of, eg.judge(of, cover, window(0, 20)), scope=window(0, 20), phases=["smooth"])
    both = choose(
        of, eg.judge(of, cover, window(0, 20)), scope=window(0, 20), phases=["clean", "smooth"]
    )

    assert set(alone.todo["smooth"]) == {day(12)}
    assert {left.date for left in alone.skipped} == set(days(8, 11))
    assert set(both.todo["smooth"]) == set(days(8, 12))


def test_a_repaired_date_is_redone_before_it_as_well() -> None:
    of = smoothed()
    cover = eg.covered(of, days(0, 20))
    eg.empty(cover, "clean", day(10))

    found = choose(
        of, eg.judge(of, cover, window(10, 10)), scope=window(10, 10), phases=["clean", "smooth"]
    )

    assert set(found.todo["smooth"]) == set(days(8, 11))


def test_a_date_that_reads_days_to_come_is_open() -> None:
    of = eg.pipeline(
        eg.phase("raw"),
        eg.phase("clean", "raw"),
        eg.phase("smooth", "clean", **SMOOTH),
        eg.phase("trend", "smooth", reads={"to": 1}),
        eg.phase("other", "smooth", "clean"),
    )
    cover = eg.covered(of, days(0, 10))
    cover |= {"shop.smooth": {}, "shop.trend": {}, "shop.other": {}}
    evidence = eg.shown(of, cover, window(0, 10))

    found = assess(of, evidence, window(0, 10), closing=eg.closing(of, day(11)))

    still = {
        name: {on for on, left in held.items() if left.reason is SkipReason.OPEN}
        for name, held in found.empty.items()
    }
    assert still == {
        "raw": set(),
        "clean": set(),
        "smooth": {day(9), day(10)},
        "trend": {day(8), day(9), day(10)},
        "other": {day(9), day(10)},
    }
    assert max(found.gaps["smooth"]) == day(8)
    assert closing_day(day(8), of.by_name["trend"], of) == day(11)


def test_an_estimate_waits_for_a_later_chunk() -> None:
    of = smoothed()
    works = [
        Work(chunk=str(n), phase=phase, dates=(day(n),), seconds=10)
        for n in range(3)
        for phase in ("clean", "smooth")
    ]

    # One at a time: three cleans, then three smooths; with two the last clean is waited for.
    assert elapsed(of, works, slots=1) == 60
    assert elapsed(of, works, slots=3) == 20


# -- against a naive model, day by day -------------------------------------------------------


def naive(
    world: World, now: Assessment, phases: Collection[str]
) -> tuple[set[tuple[str, date]], set[tuple[str, date]]]:
    """What is taken and what is owed, by asking of every date again and again until it is still."""
    each = [(name, on) for name in worlds.phases_of(world.pipeline) for on in now.window.days()]
    short = {
        (name, on)
        for name, on in each
        if on in now.gaps[name] and now.gaps[name][on].reason in SHORT
    }
    lacking = {(name, on) for name, gaps in now.gaps.items() for on in gaps}
    full = {(name, on) for name, on in each if can_recompute(now, world.pipeline.by_name[name], on)}
    taken: set[tuple[str, date]] = set()
    owed: set[tuple[str, date]] = set()
    while True:
        again = {pair for pair in full if (taken | owed).intersection(world.windows(*pair))}
        wanted = {(name, on) for name, on in short if on in SCOPE} | again
        ready = {
            (name, on)
            for name, on in wanted
            if name in phases
            and not (lacking - taken).intersection(world.windows(name, on))
            and not owed.intersection(world.windows(name, on))
        }
        if (ready, again - ready) == (taken, owed):
            return taken, owed
        taken, owed = ready, again - ready


@costly
@given(st.data(), worlds.broken_worlds(), st.randoms(use_true_random=False))
def test_a_plan_in_order_is_what_a_fixpoint_over_days_says(
    data: st.DataObject, broken: tuple[World, eg.Cover, Cells], chance: random.Random
) -> None:
    world, cover, _ = broken
    phases = data.draw(worlds.some_phases(world.pipeline))
    now = world.judge(cover)

    found = choose(world.pipeline, now, scope=SCOPE, phases=phases)

    taken, owed = naive(world, now, phases)
    assert worlds.cells_of(found.todo) == taken
    assert worlds.cells_of(found.owed) == owed
    # And no step runs before what it reads is done, whatever the chunks.
    chunks = chunk(world.pipeline, found.todo, (), size=chance.randint(1, 5))
    in_order(world, chunks, chance)


@costly
@given(st.data(), worlds.broken_worlds())
def test_what_is_accepted_is_never_run_and_holds_up_nothing(
    data: st.DataObject, broken: tuple[World, eg.Cover, Cells]
) -> None:
    world, cover, holes = broken
    lost = data.draw(st.lists(st.sampled_from(holes), unique=True)) if holes else []
    accept = [{"phase": name, "dates": [on], "reason": "gone"} for name, on in lost]
    content = world.pipeline.model_dump()
    world = replace(world, pipeline=Pipeline.model_validate({**content, "accept": accept}))
    now = world.judge(cover)

    found = choose(world.pipeline, now, scope=SCOPE, phases=worlds.phases_of(world.pipeline))

    assert not worlds.cells_of(found.todo).intersection(lost)
    assert not worlds.cells_of(now.gaps).intersection(lost)
    assert worlds.cells_of(now.accepted) <= set(lost)
    assert (worlds.cells_of(found.todo), worlds.cells_of(found.owed)) == naive(
        world, now, worlds.phases_of(world.pipeline)
    )
    # Where nothing else is short, nothing waits: every gap that is left is taken.
    assert {pair for pair in worlds.cells_of(now.gaps) if pair[1] in SCOPE} <= worlds.cells_of(
        found.todo
    )


def in_order(world: World, chunks: Sequence[Chunk], chance: random.Random) -> None:
    """Run the chains of the chunks as the gate lets them; fails when they wait for each other."""
    todo = {(name, on) for each in chunks for name in each.phases for on in each.dates}
    chains = [(list(each.phases), each.dates) for each in chunks]
    while chains := [chain for chain in chains if chain[0]]:
        able = [
            (names, dates)
            for names, dates in chains
            if not any(todo.intersection(world.windows(names[0], on)) for on in dates)
        ]
        assert able, "steps wait for each other"
        names, dates = chance.choice(able)
        todo -= {(names[0], on) for on in dates}
        del names[0]


def test_what_decides_about_a_scope_lies_around_it() -> None:
    of = eg.pipeline(
        eg.phase("raw"),
        eg.phase("clean", "raw", reads={"from": -3, "to": 1}),
        eg.phase("smooth", "clean", **SMOOTH),
    )

    assert with_lookback(of, window(20, 30)) == window(13, 37)
