"""What reading costs, in bytes and dollars, and what is refused."""

from __future__ import annotations

import pytest

from planner.errors import Exit
from planner.plan.choose import choose
from planner.plan.chunks import chunk
from planner.plan.cost import TIB, Cost, TooExpensive, check_limit, cost_of
from planner.plan.plan import make_plan, parse_plan
from sql.billing import MINIMUM_BYTES_BILLED, billed_bytes
from tests.unit import examples as eg
from tests.unit import worlds
from tests.unit.examples import day, days, window


def test_a_tebibyte_costs_what_the_setting_says() -> None:
    assert cost_of(TIB, 6.25) == Cost(bytes=TIB, dollars=6.25)
    assert str(cost_of(3 << 30, 6.25)) == "3.0 GiB ($0.0183)"


def test_at_least_ten_megabytes_are_billed_and_whole_ones_above() -> None:
    assert [billed_bytes(n) for n in (0, 10 << 20, (10 << 20) + 1)] == [
        10 << 20,
        10 << 20,
        11 << 20,
    ]


def test_a_limit_refuses_what_is_above_it_alone() -> None:
    check_limit(cost_of(1000, 6.25), None)
    check_limit(cost_of(1000, 6.25), 1000)
    with pytest.raises(TooExpensive, match=r"billed 1,000 bytes.*allows 999: nothing was") as told:
        check_limit(cost_of(1000, 6.25), 999)
    assert told.value.exit is Exit.USAGE


def test_a_plan_says_what_its_recounts_cost() -> None:
    # Given a date that is missing from two phases, counted for 100 MiB
    of = eg.rolling(0)
    cover = eg.covered(of, days(0, 9))
    for table in ("clean", "report"):
        eg.empty(cover, table, day(4))
    assessment = eg.judge(of, cover, window(0, 9))
    repair = choose(of, assessment, scope=window(0, 9), phases=worlds.phases_of(of))
    counting = cost_of(100 << 20, 6.25)

    plan = make_plan(
        of,
        assessment,
        repair,
        chunk(of, repair.todo, days(0, 9), size=1),
        warehouse="bigquery:p",
        scope=window(0, 9),
        cost=counting,
    )

    # Then a step that counts its upstream, and upstream and itself afterwards; another that counts
    # both phases upstream, looks at its own rows and their versions, since they may be older than
    # what the first writes, and counts itself and its source; and the final validation
    assert plan.cost is not None
    assert plan.cost.counting == counting
    assert plan.cost.recounts == cost_of((100 << 20) + (3 + 6) * MINIMUM_BYTES_BILLED, 6.25)
    assert parse_plan(plan.as_json(), where="here") == plan


def test_what_is_computed_again_is_looked_up_before_and_after() -> None:
    # Given a date that is missing from one phase, and the reports of four days after it
    of = eg.rolling(3)
    cover = eg.covered(of, days(0, 19))
    eg.empty(cover, "clean", day(4))
    eg.empty(cover, "report", day(5))
    assessment = eg.judge(of, cover, window(0, 19))
    repair = choose(of, assessment, scope=window(0, 19), phases=worlds.phases_of(of))
    assert {name: len(taken) for name, taken in repair.todo.items()} == {"clean": 1, "report": 4}

    plan = make_plan(
        of,
        assessment,
        repair,
        chunk(of, repair.todo, days(0, 19), size=1),
        warehouse="bigquery:p",
        scope=window(0, 19),
        cost=cost_of(0, 6.25),
    )

    # Then three and four times seven queries, and versions after the dates that were there already
    assert plan.cost is not None
    assert plan.cost.recounts.bytes == (3 + 4 * 7 + 3) * MINIMUM_BYTES_BILLED
