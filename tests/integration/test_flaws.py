"""Flaws of a date beside what upstream lacks, when it was written, and what a step adds."""

from __future__ import annotations

import pytest

from planner.gaps.gaps import GapReason
from planner.gaps.survey import survey
from planner.plan.choose import choose
from tests.integration.mart import DAYS, REPLACE, SALES, SCOPE, STATEMENTS, MakeMart

TWICE = "INSERT INTO m.daily SELECT * FROM m.daily WHERE day = @day"

HALF_EMPTY = REPLACE.format(
    table="sales",
    select=SALES.replace("n AS paid", "IF(n IN (1, 3), NULL, n) AS paid"),
)


@pytest.mark.parametrize("store", ["s3", ""])
def test_what_is_right_is_no_surplus_where_upstream_lacks(make_mart: MakeMart, store: str) -> None:
    """`trend` is right; `daily`, by whose players it is measured, lost rows."""
    mart = make_mart()
    mart.lose("daily", DAYS[1], store)

    found = mart.assess()

    assert list(found.gaps["daily"]) == [DAYS[1]]
    assert not found.gaps["trend"]


def test_a_surplus_is_told_once_upstream_is_whole(make_mart: MakeMart) -> None:
    mart = make_mart()
    mart.sql(
        "INSERT INTO m.trend SELECT @day AS day, 's1' AS store, 'p9' AS player, 0 AS paid",
        day=DAYS[1],
    )
    mart.lose("daily", DAYS[1])
    assert not mart.assess().gaps["trend"]

    mart.sql(STATEMENTS["daily"], start_date=DAYS[1], end_date=DAYS[1])

    assert mart.assess().gaps["trend"][DAYS[1]].reason is GapReason.SURPLUS


def test_a_flaw_does_not_hide_that_a_date_is_stale(make_mart: MakeMart) -> None:
    # Given a date with duplicates, whose source was written after it
    mart = make_mart(daily='key = ["store", "player"]')
    mart.sql(TWICE, day=DAYS[2])
    mart.sql(REPLACE.format(table="sales", select=SALES), start_date=DAYS[2], end_date=DAYS[2])
    pipeline, warehouse = mart.context.pipeline, mart.context.warehouse

    found = survey(warehouse, pipeline, SCOPE, stale=True)

    # Then it is taken with what rests on it
    assert set(found.stale["daily"]) == {DAYS[2]}
    repair = choose(pipeline, found, scope=SCOPE, phases=["daily", "trend"])
    assert repair.todo["daily"][DAYS[2]].reason is GapReason.STALE
    assert set(repair.todo["trend"]) == {DAYS[2], DAYS[3]}


def test_more_rows_of_which_the_same_share_has_no_value_are_no_new_flaw(
    make_mart: MakeMart,
) -> None:
    # Given a column that was half empty when rows were missing, and is so when they are there
    mart = make_mart(daily="filled = { paid = 0.9 }")
    mart.sql(HALF_EMPTY, start_date=DAYS[0], end_date=DAYS[-1])
    mart.sql(STATEMENTS["daily"], start_date=DAYS[0], end_date=DAYS[-1])
    mart.lose("daily", DAYS[1], "s3")
    mart.lose("daily", DAYS[1], "s4")

    report = mart.run(mart.plan())

    assert mart.problem(DAYS[1], "daily") == ""
    assert report.state == "complete"


def test_more_rows_without_a_value_are_a_new_flaw(make_mart: MakeMart) -> None:
    mart = make_mart(daily="filled = { paid = 0.9 }")
    mart.sql(HALF_EMPTY, start_date=DAYS[0], end_date=DAYS[-1])
    mart.lose("daily", DAYS[1], "s1")

    mart.run(mart.plan())

    assert mart.problem(DAYS[1], "daily").startswith("new unfilled on 2024-01-02: ")
