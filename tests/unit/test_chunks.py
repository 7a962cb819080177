"""How dates are grouped: a step runs over a range, and touches nothing that is not its own."""

from __future__ import annotations

from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.pipeline.pipeline import Pipeline
from planner.plan.chunks import Chunk, chunk
from tests.unit import examples as eg
from tests.unit import worlds
from tests.unit.examples import day, days
from tests.unit.worlds import bounded

PIPELINE = eg.pipeline(
    seasons=[eg.season("one", day(0), day(19)), eg.season("two", day(20), day(59))]
)


def cut(
    todo: dict[str, list[date]],
    busy: list[date] | None = None,
    *,
    size: int = 100,
    of: Pipeline = PIPELINE,
    newest_first: bool = False,
) -> list[tuple[list[date], tuple[str, ...]]]:
    """What is cut, where only dates to do hold rows unless others are given."""
    chunks = chunk(of, todo, busy or [], size=size, newest_first=newest_first)
    return [(list(each.dates), each.phases) for each in chunks]


def test_dates_in_a_row_with_the_same_phases_are_one_chunk() -> None:
    todo = {"clean": days(1, 4), "report": days(1, 4)}

    assert cut(todo) == [(days(1, 4), ("clean", "report"))]


def test_nothing_to_do_makes_no_chunks() -> None:
    assert cut({}) == []
    assert cut({"clean": []}, days(0, 9)) == []


@pytest.mark.parametrize(
    ("size", "lengths"), [(1, [1] * 7), (2, [2, 2, 2, 1]), (3, [3, 3, 1]), (7, [7]), (366, [7])]
)
def test_a_chunk_has_at_most_its_size(size: int, lengths: list[int]) -> None:
    assert [len(dates) for dates, _ in cut({"clean": days(0, 6)}, size=size)] == lengths


def test_a_chunk_spans_off_days() -> None:
    """Nothing is there, so nothing is touched."""
    played = [day(1), day(3), day(8)]

    assert cut({"clean": played}, played) == [(played, ("clean",))]


def test_a_chunk_never_spans_a_date_with_rows_that_is_not_its_own() -> None:
    todo = [day(1), day(2), day(4), day(5)]

    assert cut({"clean": todo}, days(0, 9)) == [
        (days(1, 2), ("clean",)),
        (days(4, 5), ("clean",)),
    ]


def test_a_chunk_never_spans_an_excluded_day() -> None:
    """Nothing is expected there, and rows that there are stay as they are."""
    of = eg.pipeline(exclude=[{"start": day(3), "end": day(4), "reason": "stocktaking"}])
    todo = [*days(1, 2), *days(5, 6)]

    assert cut({"clean": todo}, todo, of=of) == [
        (days(1, 2), ("clean",)),
        (days(5, 6), ("clean",)),
    ]


def test_a_chunk_never_spans_the_end_of_a_season() -> None:
    assert cut({"clean": days(18, 21)}) == [
        (days(18, 19), ("clean",)),
        (days(20, 21), ("clean",)),
    ]


def test_other_phases_to_do_are_another_chunk() -> None:
    assert cut({"clean": days(1, 2), "report": days(2, 4)}) == [
        ([day(1)], ("clean",)),
        ([day(2)], ("clean", "report")),
        (days(3, 4), ("report",)),
    ]


def test_phases_stand_in_pipeline_order_however_they_were_given() -> None:
    assert cut({"report": [day(1)], "clean": [day(1)]}) == [([day(1)], ("clean", "report"))]


def test_newest_first_turns_the_chunks_and_not_their_dates() -> None:
    assert cut({"clean": days(0, 4)}, size=2, newest_first=True) == [
        ([day(4)], ("clean",)),
        (days(2, 3), ("clean",)),
        (days(0, 1), ("clean",)),
    ]


def test_a_chunk_is_named_for_its_dates() -> None:
    assert Chunk(dates=(day(0),), phases=("clean",)).id == "2024-01-01"
    assert Chunk(dates=(day(0), day(3)), phases=("clean",)).id == "2024-01-01..2024-01-04"


DATES = st.lists(st.integers(0, 40).map(day), unique=True, max_size=20)


@bounded
@given(todo=st.fixed_dictionaries({"clean": DATES, "report": DATES}), data=st.data())
def test_chunks_hold_every_date_once_and_touch_no_other(
    todo: dict[str, list[date]], data: st.DataObject
) -> None:
    other = data.draw(DATES)
    size = data.draw(st.integers(1, 9))

    chunks = chunk(PIPELINE, todo, other, size=size)

    # Every phase and date once
    assert worlds.cells_of(todo) == {
        (phase, each) for made in chunks for phase in made.phases for each in made.dates
    }
    dates = [each for made in chunks for each in made.dates]
    assert dates == sorted(set(dates))
    assert len({made.id for made in chunks}) == len(chunks)
    for made in chunks:
        assert 1 <= len(made.dates) <= size
        # The range holds no date that is not its own, and one season
        first, last = made.dates[0], made.dates[-1]
        foreign = {*other, *dates} - set(made.dates)
        assert not any(first <= each <= last for each in foreign)
        assert not first < day(20) <= last
    # and nothing could have been joined
    for before, after in pairwise(chunks):
        first, last = before.dates[-1], after.dates[0]
        assert (
            len(before.dates) == size
            or before.phases != after.phases
            or first < day(20) <= last
            or any(first < each < last for each in other)
        )
