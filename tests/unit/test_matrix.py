"""The completeness matrix is counted from the same judgement as the gaps."""

from __future__ import annotations

from datetime import date

from planner.gaps.matrix import Count, matrix
from tests.unit import examples as eg
from tests.unit.examples import cell, day, days, window

PIPELINE = eg.pipeline(
    eg.phase("raw"),
    eg.phase("clean", "raw"),
    eg.phase("items", "clean", tables=[eg.table("items", entities={"item": "item_id"})]),
    seasons=[
        eg.season("one", day(0), day(9), windows={"sale": {"start": day(8), "end": day(9)}}),
        eg.season("two", day(10), day(29)),
        eg.season("far", date(2030, 1, 1), date(2030, 12, 31)),
    ],
)


def test_dates_and_entities_are_counted_per_season_and_window() -> None:
    # Given ten days of which one is lost and one is half there, and two of the next season
    cover = eg.covered(PIPELINE, days(0, 11))
    eg.empty(cover, "clean", day(3))
    cover["shop.clean"][day(9)] = cell(1)

    counted = matrix(PIPELINE, eg.assessed(PIPELINE, cover, window(0, 20)), window(0, 20))

    assert counted == {
        "one": {
            "raw": Count(expected=10, complete=10, entities=40),
            "clean": Count(expected=10, complete=8, entities=33),
            "items": Count(expected=10, complete=10, entities=None),
        },
        "one/sale": {
            "raw": Count(expected=2, complete=2, entities=8),
            "clean": Count(expected=2, complete=1, entities=5),
            "items": Count(expected=2, complete=2, entities=None),
        },
        "two": {
            "raw": Count(expected=2, complete=2, entities=8),
            "clean": Count(expected=2, complete=2, entities=8),
            "items": Count(expected=2, complete=2, entities=None),
        },
    }


def test_only_what_was_looked_at_is_counted() -> None:
    cover = eg.covered(PIPELINE, days(0, 11))

    counted = matrix(PIPELINE, eg.assessed(PIPELINE, cover, window(0, 4)), window(0, 4))

    assert list(counted) == ["one"]
    assert counted["one"]["clean"] == Count(expected=5, complete=5, entities=20)


def test_a_season_without_rows_expects_nothing() -> None:
    counted = matrix(
        PIPELINE, eg.assessed(PIPELINE, eg.covered(PIPELINE, []), window(0, 9)), window(0, 9)
    )

    assert counted["one"]["clean"] == Count(expected=0, complete=0, entities=0)


def test_complete_is_every_expected_date() -> None:
    assert Count(expected=2, complete=2).is_complete
    assert Count().is_complete
    assert not Count(expected=2, complete=1).is_complete
