"""Dates whose upstream was written after them: which are done again, and which are not believed."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

from planner.commands.gaps import all_gaps
from planner.gaps.gaps import Assessment, GapReason, SkipReason
from planner.gaps.matrix import matrix
from planner.gaps.snapshot import snapshot
from planner.gaps.stale import with_stale
from planner.pipeline.pipeline import Pipeline
from planner.plan.choose import Repair, choose
from planner.plan.chunks import chunk
from planner.plan.plan import make_plan
from tests.unit import examples as eg
from tests.unit import worlds
from tests.unit.examples import day, days, window

BUILT = datetime(2024, 6, 1, tzinfo=UTC)
Times = dict[str, dict[date, datetime]]


def built(of: Pipeline, on: list[date]) -> Times:
    """Every table written in phase order, a minute apart."""
    return {
        spec.name: dict.fromkeys(on, BUILT + timedelta(minutes=n))
        for n, each in enumerate(of.phases)
        for spec in each.tables
    }


def later(times: Times, table: str, *on: date) -> None:
    for each in on:
        times[f"shop.{table}"][each] = BUILT + timedelta(hours=1)


def judged(of: Pipeline, cover: eg.Cover, times: Times) -> Assessment:
    return with_stale(of, eg.judge(of, cover, window(0, 20)), times)


def decide(of: Pipeline, assessment: Assessment, **options: object) -> Repair:
    return choose(
        of,
        assessment,
        scope=window(0, 20),
        phases=worlds.phases_of(of),
        **options,  # type: ignore[arg-type]
    )


def reasons(repair: Repair) -> dict[str, dict[date, GapReason]]:
    return {
        name: {each: gap.reason for each, gap in sorted(taken.items())}
        for name, taken in repair.todo.items()
    }


def test_what_was_written_in_order_is_not_stale() -> None:
    of = eg.rolling(3)
    on = days(0, 20)

    assessment = judged(of, eg.covered(of, on), built(of, on))

    assert not any(assessment.stale.values())
    assert decide(of, assessment).todo == {}


def test_times_that_are_equal_are_not_later() -> None:
    of = eg.rolling(0)
    times = {name: dict.fromkeys(on, BUILT) for name, on in built(of, days(0, 20)).items()}

    assert not any(judged(of, eg.covered(of, days(0, 20)), times).stale.values())


def test_a_source_that_was_written_later_makes_its_date_stale_and_what_follows_a_cascade() -> None:
    # Given raw rows of one date that were written after everything, and weekly reports
    of = eg.rolling(3)
    times = built(of, days(0, 20))
    later(times, "raw", day(10))

    assessment = judged(of, eg.covered(of, days(0, 20)), times)

    # Then that date is done again, and the reports whose window holds it after it
    assert reasons(decide(of, assessment)) == {
        "clean": {day(10): GapReason.STALE},
        "report": dict.fromkeys(days(10, 13), GapReason.CASCADE),
    }


def test_any_date_of_the_lookback_window_counts() -> None:
    of = eg.rolling(3)
    times = built(of, days(0, 20))
    later(times, "clean", day(10))

    assessment = judged(of, eg.covered(of, days(0, 20)), times)

    assert reasons(decide(of, assessment)) == {
        "report": dict.fromkeys(days(10, 13), GapReason.STALE)
    }


def test_the_oldest_table_of_a_phase_decides() -> None:
    # Given a phase of two tables, of which only one was written after its upstream
    two = [eg.table("clean"), eg.table("clean_items")]
    of = eg.pipeline(eg.phase("raw"), eg.phase("clean", "raw", tables=two))
    times = built(of, days(0, 20))
    later(times, "raw", day(4))
    times["shop.clean"][day(4)] = BUILT + timedelta(hours=2)

    assert judged(of, eg.covered(of, days(0, 20)), times).stale["clean"] == {day(4)}


def test_a_date_that_is_short_keeps_the_reason_of_its_gap() -> None:
    of = eg.rolling(0)
    times = built(of, days(0, 20))
    later(times, "raw", day(4), day(5))
    cover = eg.covered(of, days(0, 20))
    eg.empty(cover, "clean", day(4))

    repair = decide(of, judged(of, cover, times))

    assert reasons(repair)["clean"] == {day(4): GapReason.MISSING, day(5): GapReason.STALE}


def test_a_date_whose_upstream_holds_less_now_is_not_believed() -> None:
    # Given raw rows that were lost after what was made of them, compared by number
    of = eg.pipeline(compare={"order": "count", "item": "count"})
    times = built(of, days(0, 20))
    later(times, "raw", day(4))
    cover = eg.covered(of, days(0, 20), orders=4)
    cover["shop.raw"][day(4)] = eg.cell(3)

    assessment = judged(of, cover, times)
    repair = decide(of, assessment)

    # Then nothing is computed from what is left, and it is said why
    assert repair.todo == {}
    (left,) = repair.skipped
    assert (left.phase, left.date, left.reason) == ("clean", day(4), SkipReason.UPSTREAM_MISSING)
    assert "holds 3 of its 4 orders now" in left.detail


def test_rows_that_their_source_lost_are_a_surplus_and_are_kept() -> None:
    # Given the same, compared by ids
    of = eg.rolling(0)
    times = built(of, days(0, 20))
    later(times, "raw", day(4))
    cover = eg.covered(of, days(0, 20), orders=4)
    cover["shop.raw"][day(4)] = eg.cell(3)

    repair = decide(of, judged(of, cover, times))

    # Then nothing is computed from what is left, and the ids are named in every phase below
    assert repair.todo == {}
    assert [(left.phase, left.date, left.reason) for left in repair.skipped] == [
        ("clean", day(4), SkipReason.FLAWED),
        ("report", day(4), SkipReason.FLAWED),
    ]
    assert "shop.clean holds 1 order too many: order-3" in repair.skipped[0].detail


def test_a_source_that_was_emptied_makes_nothing_stale() -> None:
    of = eg.rolling(0)
    times = built(of, days(0, 20))
    later(times, "raw", day(4))
    cover = eg.covered(of, days(0, 20))
    eg.empty(cover, "raw", day(4))

    assessment = judged(of, cover, times)

    assert not any(assessment.stale.values())
    assert not any(assessment.doubtful.values())


def test_tables_whose_times_nobody_can_tell_are_never_stale() -> None:
    of = eg.rolling(0)
    times = built(of, days(0, 20))
    later(times, "raw", day(4))
    del times["shop.clean"]

    assert not any(judged(of, eg.covered(of, days(0, 20)), times).stale.values())


def test_a_limit_counts_stale_dates_among_those_with_gaps() -> None:
    of = eg.rolling(0)
    times = built(of, days(0, 20))
    later(times, "raw", day(4), day(9))
    cover = eg.covered(of, days(0, 20))
    eg.empty(cover, "clean", day(6))

    repair = decide(of, judged(of, cover, times), limit=2)

    assert reasons(repair)["clean"] == {day(4): GapReason.STALE, day(6): GapReason.MISSING}


def test_matrix_and_snapshot_show_them() -> None:
    of = eg.rolling(0)
    times = built(of, days(0, 20))
    later(times, "raw", day(4))

    assessment = judged(of, eg.covered(of, days(0, 20)), times)

    counted = matrix(of, assessment, assessment.window)["2024"]["clean"]
    assert (counted.expected, counted.complete) == (21, 20)
    shown = snapshot(of, assessment, window(0, 20), {"clean": {day(4): GapReason.STALE}})
    assert list(shown.days("clean", GapReason.STALE)) == [day(4)]


def test_a_stale_date_that_the_plan_has_to_leave_is_a_gap_still() -> None:
    # Given a stale report whose window holds a date that is short, and out of the plan's scope
    of, scope = eg.rolling(3), window(10, 20)
    times = built(of, days(0, 20))
    later(times, "clean", day(7))
    cover = eg.covered(of, days(0, 20))
    eg.empty(cover, "clean", day(8))
    assessment = judged(of, cover, times)
    repair = choose(of, assessment, scope=scope, phases=worlds.phases_of(of))
    assert [(left.date, left.reason) for left in repair.skipped] == [
        (day(10), SkipReason.UPSTREAM_MISSING)
    ]

    chunks = chunk(of, repair.todo, days(0, 20), size=1)
    plan = make_plan(of, assessment, repair, chunks, warehouse="local:w", scope=scope)

    assert [(gap.phase, gap.date, gap.reason) for gap in all_gaps(of, assessment, plan, scope)] == [
        ("report", day(10), GapReason.STALE)
    ]
