"""How long a repair takes: paces from samples, and steps played through by the fleet's rules."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.pipeline.pipeline import Pipeline
from planner.plan.chunks import Chunk
from planner.plan.estimate import History, estimate, pace_of
from planner.plan.simulate import Work, elapsed
from tests.unit import examples as eg

HTTP = [{"kind": "http_batch", "url": "http://x"}]


def pipeline(clean: dict[str, Any] | None = None, report: dict[str, Any] | None = None) -> Pipeline:
    """raw → clean → report, with options of the two."""
    return Pipeline.model_validate(
        eg.content(
            eg.phase("raw"),
            eg.phase("clean", "raw", **(clean or {})),
            eg.phase("report", "clean", **(report or {})),
        )
    )


def work(phase: str, first: int, last: int | None = None, *, seconds: float = 10) -> Work:
    dates = tuple(eg.days(first, first if last is None else last))
    return Work(chunk=str(first), phase=phase, dates=dates, seconds=seconds)


def chunks(*firsts: int, phases: tuple[str, ...] = ("clean", "report")) -> list[Chunk]:
    return [Chunk(dates=(eg.day(first),), phases=phases) for first in firsts]


# -- paces -----------------------------------------------------------------------------------


def test_steps_of_one_length_give_the_median_and_the_slowest_tenth() -> None:
    pace = pace_of([(2, seconds) for seconds in (10, 10, 10, 10, 10, 10, 10, 10, 10, 60, 60)])

    assert pace.seconds(2) == pytest.approx(10)
    assert pace.slow_seconds(2) == pytest.approx(60)


def test_what_a_start_costs_is_told_from_what_a_date_costs() -> None:
    pace = pace_of([(dates, 30 + 2 * dates) for dates in (1, 2, 5, 14)])

    assert pace.seconds(1) == pytest.approx(32)
    assert pace.seconds(10) == pytest.approx(50)


@pytest.mark.parametrize("samples", [[(1, 5.0)], [(3, 0.0)], [(1, 9.0), (9, 1.0)]], ids=repr)
def test_odd_samples_give_a_pace_that_is_no_nonsense(samples: list[tuple[int, float]]) -> None:
    pace = pace_of(samples)

    assert all(0 < pace.seconds(n) <= pace.slow_seconds(n) for n in (1, 5, 300))


# -- the fleet's rules -----------------------------------------------------------------------


def test_slots_are_shared() -> None:
    works = [work("clean", n) for n in range(6)]

    assert elapsed(pipeline(), works, slots=2) == 30
    assert elapsed(pipeline(), works, slots=100) == 10


def test_a_chain_is_one_after_the_other() -> None:
    works = [work(name, n) for n in range(2) for name in ("clean", "report")]

    assert elapsed(pipeline(), works, slots=9) == 20


def test_a_step_waits_for_its_lookback_window() -> None:
    works = [work("clean", 0, seconds=50), work("clean", 3), work("report", 3)]

    assert elapsed(pipeline(), works, slots=9) == 50
    assert elapsed(pipeline(report={"lookback_days": 3}), works, slots=9) == 60


@pytest.mark.parametrize(
    "options",
    [
        {"concurrency": 1},
        {"tables": [eg.table("clean", writers=1)]},
        {"runners": HTTP},
    ],
    ids=repr,
)
def test_limits_hold_whatever_the_slots(options: dict[str, Any]) -> None:
    works = [work("clean", n) for n in range(4)]

    assert elapsed(pipeline(clean=options), works, slots=9) == 40


def test_two_phases_that_write_one_table_share_its_turns() -> None:
    shared = {"tables": [eg.table("both", writers=1)]}
    works = [work("clean", 0), work("report", 5)]

    assert elapsed(pipeline(clean=shared, report=shared), works, slots=9) == 20


def test_a_batch_at_a_service_holds_no_slot() -> None:
    works = [work("report", 0), work("clean", 5)]

    assert elapsed(pipeline(report={"runners": HTTP}), works, slots=1) == 10


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 50)), min_size=1, max_size=30),
    st.integers(1, 6),
)
def test_no_estimate_beats_its_bounds(steps: list[tuple[int, int]], slots: int) -> None:
    """Not shorter than the longest step, nor than all work on all slots; not longer than all."""
    works = [work("clean", 50 * n + day, seconds=s) for n, (day, s) in enumerate(steps)]
    works += [work("report", 50 * n + day, seconds=s) for n, (day, s) in enumerate(steps)]
    total = sum(each.seconds for each in works)

    of = pipeline(report={"lookback_days": 30})
    took = elapsed(of, works, slots=slots)

    longest = max(2 * s for _, s in steps)
    assert max(longest, total / slots) - 1e-6 <= took <= total + 1e-6


def test_chunks_that_are_begun_go_on_before_others_begin() -> None:
    """So that a phase that runs one at a time has work from early on, as in the fleet."""
    works = [work(phase, n) for n in range(3) for phase in ("clean", "report")]

    # Then the phase that runs alone is at work all the time but for the first step
    assert elapsed(pipeline(report={"concurrency": 1}), works, slots=2) == 40


def test_what_runs_the_fewest_at_once_comes_first() -> None:
    of = pipeline(report={"concurrency": 4}, clean={"tables": [eg.table("clean", writers=2)]})
    assert [phase.name for phase in of.by_priority] == ["clean", "report"]

    of = pipeline(clean={"runners": HTTP}, report={"concurrency": 1})
    assert [phase.name for phase in of.by_priority] == ["clean", "report"]

    assert [phase.name for phase in pipeline().by_priority] == ["report", "clean"]


# -- the estimate ----------------------------------------------------------------------------


def test_earlier_runs_come_before_the_file() -> None:
    of = pipeline(clean={"seconds_per_date": 100}, report={"seconds_per_date": 7})
    history = History(runs=2, samples={"clean": [(1, 20.0)] * 9 + [(1, 90.0)] * 2})

    made = estimate(of, chunks(0, 1), history, slots=2, spent={})

    assert made is not None
    assert made.phases["clean"].source == "runs"
    assert made.phases["clean"].seconds_per_date == 20
    assert made.phases["clean"].slow_seconds_per_date == 90
    assert (made.phases["report"].source, made.phases["report"].seconds) == ("file", 14)
    assert (made.seconds, made.worst_seconds) == (27, 97)
    assert (made.slots, made.slots_are_assumed, made.runs) == (2, False, 2)


def test_a_phase_that_nobody_knows_leaves_the_whole_unknown() -> None:
    made = estimate(
        pipeline(clean={"seconds_per_date": 5}), chunks(0), History(), slots=None, spent={}
    )

    assert made is not None
    assert (made.seconds, made.unknown, made.slots) == (None, ("report",), 1)
    assert made.slots_are_assumed
    assert made.phases["clean"].seconds == 5


def test_nothing_to_do_needs_no_estimate() -> None:
    assert estimate(pipeline(), [], History(), slots=2, spent={}) is None


def test_a_plan_that_needs_more_than_a_day_says_so_and_takes_longer() -> None:
    table = eg.table("clean", daily_writes=4, writes_per_date=2)
    of = pipeline(clean={"tables": [table], "seconds_per_date": 1}, report={"seconds_per_date": 1})

    made = estimate(of, chunks(*range(5)), History(), slots=2, spent={"shop.clean": 1})

    assert made is not None
    (budget,) = made.budgets
    assert (budget.writes, budget.daily_writes, budget.days) == (11, 4, 3)
    assert made.seconds == 2 * 86_400


def test_a_large_plan_is_estimated_at_once() -> None:
    """Four seasons date by date: a person waits for it."""
    of = pipeline(
        clean={"seconds_per_date": 5}, report={"seconds_per_date": 5, "lookback_days": 30}
    )
    many = [
        Chunk(dates=(date.fromordinal(738000 + n),), phases=("clean", "report")) for n in range(800)
    ]

    made = estimate(of, many, History(), slots=8, spent={})

    assert made is not None
    assert made.seconds is not None
    assert 1000 <= made.seconds < 1100  # 8,000 s of work on eight slots
