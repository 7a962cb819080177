"""Failures by cause: what tells two causes apart, and what does not."""

from __future__ import annotations

from datetime import date, timedelta

import pytest

from planner.console.options import parse_days
from planner.report.advice import ENQUEUE
from planner.report.causes import cause_lines, causes, report_json, signature
from planner.report.report import Failure
from tests.reports import make_report

RUN = "run-20260102-k7xq3w"


def day(number: int) -> date:
    return date(2024, 1, 1) + timedelta(days=number)


def failure(phase: str, days: range, state: str, reason: str) -> list[Failure]:
    """One failure per date, as each has a text of its own."""
    return [
        Failure(
            phase=phase, dates=(day(n),), state=state, reason=reason.format(day(n), n), retry=""
        )
        for n in days
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "rows missing: lake.a holds 0 of 8 on 2024-01-01",
            "rows missing: lake.a holds 3 of 12 on 2024-02-01",
        ),
        ("lacks 0022300312, 0022300313", "lacks 0022300400"),
        ("exit code 1: job 7f3a-99c ended", "exit code 1: job 0b1c-2d4 ended"),
    ],
)
def test_dates_numbers_and_ids_do_not_tell_causes_apart(one: str, other: str) -> None:
    assert signature(one) == signature(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("exit code 1: no rows", "exit code 137: no rows"),
        ("HTTP 404 of /batch", "HTTP 503 of /batch"),
        ("holds 0 of 8 of lake.a", "holds 0 of 8 of lake.b"),
    ],
)
def test_codes_and_words_do(one: str, other: str) -> None:
    assert signature(one) != signature(other)


def test_45_failures_for_three_causes_are_three_rows_each_with_one_command() -> None:
    failures = [
        *failure("a", range(10), "failed", "rows missing: lake.a holds {1} of 99 on {0}"),
        *failure("b", range(10), "blocked", "after a: rows missing: lake.a holds {1} of 99 on {0}"),
        *failure("c", range(10), "blocked", "b {0} blocked"),
        *failure("b", range(20, 30), "failed", "exit code 1: no route to host"),
        *failure("d", range(40, 45), "blocked", "raw {0} is short now: 1 of {1}. " + ENQUEUE),
    ]

    first, second, third = causes(RUN, failures)

    assert first.phases == {"a": tuple(day(n) for n in range(10))}
    assert {name: len(days) for name, days in first.waiting.items()} == {"b": 10, "c": 10}
    assert first.retry == f"planner retry {RUN} --phase a --dates 2024-01-01..2024-01-10"
    assert cause_lines(first) == [
        "a failed, 10 dates: 2024-01-01..2024-01-10: rows missing: lake.a holds 0 of 99 on "
        "2024-01-01",
        "  not tried for it: 20 phase-dates of b, c",
        f"  try again: {first.retry}",
    ]
    assert second.reason == "exit code 1: no route to host"
    assert second.retry == f"planner retry {RUN} --phase b --dates 2024-01-21..2024-01-30"
    assert third.retry == "planner enqueue --gaps --start 2024-02-10 --end 2024-02-14"


def test_the_command_of_the_only_cause_needs_no_dates() -> None:
    (only,) = causes(RUN, failure("a", range(3), "failed", "exit code 1 on {0}"))

    assert only.retry == f"planner retry {RUN}"


def test_one_reason_for_all_phases_is_one_cause() -> None:
    cancelled = [
        each for name in "abc" for each in failure(name, range(2), "cancelled", "cancelled")
    ]

    (only,) = causes(RUN, cancelled)

    assert cause_lines(only)[0] == (
        "a, b, c cancelled, 6 phase-dates: 2024-01-01..2024-01-02: cancelled"
    )


def test_the_same_text_of_two_phases_is_two_causes() -> None:
    found = causes(
        RUN,
        [
            *failure("a", range(2), "failed", "exit code 1"),
            *failure("b", range(5, 6), "failed", "exit code 1"),
            *failure("c", range(5, 6), "blocked", "after b: exit code 1"),
        ],
    )

    assert [([*each.phases], [*each.waiting]) for each in found] == [(["a"], []), (["b"], ["c"])]


def test_no_phase_date_is_lost_or_told_twice() -> None:
    report = make_report()

    found = causes(report.run_id, report.failures)

    told = [
        (phase, when)
        for cause in found
        for of in (cause.phases, cause.waiting)
        for phase, days in of.items()
        for when in days
    ]
    assert len(told) == len(set(told))
    assert set(told) == report.undone
    assert len(found) < len(report.failures)
    assert report_json(report)["causes"][0]["state"] == "failed"


def test_the_dates_of_a_command_are_read_back() -> None:
    assert parse_days("2024-01-01..2024-01-03,2024-01-05") == {day(n) for n in (0, 1, 2, 4)}
