"""How days will stand as planned, and the command that does a plan."""

from __future__ import annotations

from datetime import date

from planner.console.option_groups import Planning
from planner.gaps.gaps import SHORT, GapReason, Skipped, SkipReason
from planner.gaps.snapshot import PLANNED
from planner.plan.plan import Plan
from planner.plan.planned_days import planned_days, short_now
from tests.reports import make_plan_of

DAY = date(2021, 12, 25)


def states(plan: Plan) -> dict[tuple[str, date], str]:
    after = planned_days(plan)
    return {
        (phase, day): state
        for phase in after.phases
        for state in (PLANNED, *GapReason, *SkipReason)
        for day in after.days(phase, state)
    }


def test_what_is_written_and_what_is_left_stand_for_the_gaps() -> None:
    plan = make_plan_of(seasons=1)
    todo = {(step.phase, task.date): task.reason for _, step in plan.steps() for task in step.tasks}

    found = states(plan)

    for at, reason in todo.items():
        assert found[at] == (reason if reason is GapReason.CASCADE else PLANNED)
    assert not SHORT & set(found.values())
    assert short_now(plan) == sum(reason in SHORT for reason in todo.values())


def test_a_date_that_is_left_alone_says_why_and_one_that_is_flawed_what_it_is() -> None:
    plan = make_plan_of(seasons=1)
    before = dict(plan.days_before.phases)
    (first, *rest) = before["grading"]
    before["grading"] = (first._replace(state=GapReason.DUPLICATE), *rest)
    flawed = first.start
    left = (
        Skipped(phase="grading", date=flawed, reason=SkipReason.FLAWED),
        Skipped(phase="raw", date=DAY, reason=SkipReason.WATCHED),
    )
    days_before = plan.days_before.model_copy(update={"phases": before})

    found = states(
        plan.model_copy(update={"chunks": (), "skipped": left, "days_before": days_before})
    )

    assert found["grading", flawed] == GapReason.DUPLICATE
    assert found["raw", DAY] == SkipReason.WATCHED


def test_options_are_repeated_as_they_are_typed() -> None:
    days = frozenset({DAY, date(2021, 12, 26), date(2021, 12, 31)})
    given = Planning(end=DAY, exclude=days, newest_first=True, chunk_dates=7, season="2021-22")

    assert sorted(" ".join(given.words()).split(" --")) == [
        "--end 2021-12-25",
        "chunk-dates 7",
        "exclude 2021-12-25..2021-12-26,2021-12-31",
        "newest-first",
        "season 2021-22",
    ]
    assert Planning().words() == []
