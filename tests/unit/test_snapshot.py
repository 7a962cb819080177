"""How every phase stands on every day: as judged, without loss, and small."""

from __future__ import annotations

import json
from datetime import date

from planner.gaps.gaps import GapReason, SkipReason
from planner.gaps.snapshot import COMPLETE, Snapshot
from planner.pipeline.windows import DAY, Window
from planner.plan.parse import parse_plan
from tests.reports import FAILED, make_plan_of, make_report

PLAN_BYTES_MAX = 1_000_000
PLAYOFFS = date.fromisoformat("2022-04-18")
"""A date with games, whose phases stopped at raw."""


def standing(snapshot: Snapshot, phase: str, day: date) -> tuple[object, int, int]:
    (found,) = (
        stretch
        for stretch in snapshot.phases[phase]
        if stretch.start <= day < stretch.start + stretch.days * DAY
    )
    return found[2:]


def test_every_phase_has_one_stretch_for_every_day_of_the_reach() -> None:
    report = make_report()

    for snapshot in (report.days_before, report.days_after):
        assert list(snapshot.phases) == ["raw", "analytics", "precompute", "predictions", "grading"]
        for stretches in snapshot.phases.values():
            day = snapshot.window.start
            for stretch in stretches:
                assert stretch.start == day
                day += stretch.days * DAY
            assert day == snapshot.window.end + DAY


def test_the_states_are_those_that_the_warehouse_was_judged_to_have() -> None:
    report = make_report()
    before, after = report.days_before, report.days_after

    assert standing(before, "analytics", PLAYOFFS)[0] == GapReason.MISSING
    assert standing(before, "analytics", FAILED)[0] == GapReason.PARTIAL
    assert standing(before, "precompute", FAILED + 3 * DAY)[0] == GapReason.CASCADE
    assert standing(before, "precompute", date(2021, 10, 20))[0] == SkipReason.BOOTSTRAP
    assert standing(before, "raw", date(2022, 2, 15)) == (SkipReason.OFF_DAY, 0, 0)
    # Counted in games before as after, though its first table knows only teams.
    games = standing(after, "precompute", PLAYOFFS)[1]
    assert standing(before, "precompute", PLAYOFFS) == (GapReason.MISSING, games, 0)
    state, expected, found = standing(after, "analytics", PLAYOFFS)
    assert (state, expected) == (COMPLETE, found)
    assert expected > 0


def test_a_cascade_that_was_not_done_is_still_to_do_after_the_run() -> None:
    failed, repaired = make_report(), make_report(fails=False)
    day = FAILED + 3 * DAY

    assert standing(failed.days_after, "precompute", day)[0] == GapReason.CASCADE
    assert standing(repaired.days_after, "precompute", day)[0] == COMPLETE


def test_counts_agree_with_the_matrix() -> None:
    report = make_report()

    for season in report.seasons:
        for phase, count in report.before[season.name].items():
            days = report.days_before.count(phase, season)
            # Rows to recompute are there, so the matrix counts them as complete.
            held = days.get(COMPLETE, 0) + days.get(GapReason.CASCADE, 0)
            short = days.get(GapReason.MISSING, 0) + days.get(GapReason.PARTIAL, 0)
            assert (held, held + short) == (count.complete, count.expected)


def test_the_days_of_a_state_are_as_many_as_are_counted() -> None:
    snapshot = make_report().days_before
    window = snapshot.window

    for phase in snapshot.phases:
        days = list(snapshot.days(phase, GapReason.MISSING))
        assert len(days) == snapshot.count(phase, window).get(GapReason.MISSING, 0)
    assert snapshot.count("raw", Window(start=window.end + DAY, end=window.end + DAY)) == {}


def test_a_plan_of_five_seasons_stays_small_and_comes_back_whole() -> None:
    plan = make_plan_of(seasons=5)
    text = json.dumps(plan.as_json())

    assert len(text) < PLAN_BYTES_MAX
    assert len(plan.days_before.model_dump_json()) < 250_000
    assert parse_plan(json.loads(text), where="the plan") == plan
