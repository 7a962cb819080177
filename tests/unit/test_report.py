"""What is read off a report, and the Markdown of it."""

from __future__ import annotations

import subprocess
import sys
from datetime import date

from planner.pipeline.publish import Publication
from planner.report.advice import next_steps
from planner.report.causes import causes
from planner.report.markdown import render_markdown
from planner.report.report import Report, bare_seasons, phase_times
from planner.text import date_runs
from tests.reports import make_report


def test_the_report_comes_back_whole_from_its_json() -> None:
    report = make_report()

    assert Report.model_validate_json(report.model_dump_json()) == report


def test_the_commands_that_publish_by_hand_keep_their_json_key() -> None:
    failed = {date(2022, 1, 3): "exit code 1"}
    told = Publication(phase="grading", ran=(), failed=failed, commands=("publish.py",))
    report = make_report().model_copy(update={"publication": told})

    assert report.as_json()["publication"]["again"] == ["publish.py"]
    assert Report.model_validate_json(report.model_dump_json()).publication == told


def test_dates_in_a_row_are_written_as_one_run_and_none_is_left_out() -> None:
    days = [date(2022, 1, 3), date(2022, 1, 1), date(2022, 1, 2), date(2022, 1, 5)]

    assert date_runs(days) == "2022-01-01..2022-01-03, 2022-01-05"
    assert date_runs([date(2022, 1, 1), date(2022, 1, 2)]) == "2022-01-01..2022-01-02"
    assert date_runs([]) == ""


def test_every_date_that_is_not_repaired_is_in_the_markdown_by_cause_with_one_command() -> None:
    report = make_report()
    text = render_markdown(report)

    found = causes(report.run_id, report.failures)
    assert found
    for cause in found:
        for days in (*cause.phases.values(), *cause.waiting.values()):
            assert date_runs(days) in text
        assert text.count(f"try again: `{cause.retry}`") == 1
    assert text.count("try again: ") == len(found)
    assert text.index("** failed,") < text.index("not tried for it: ")


def test_phases_are_timed_in_their_order_and_planned_times_stand_beside_when_there_are_any() -> (
    None
):
    report = make_report()
    estimated = report.model_copy(update={"estimate": {"analytics": 600.0}})

    assert [time.phase for time in phase_times(report)] == report.phases[1:]
    for time in phase_times(report):
        assert sum(time.states.values()) == time.steps
        assert 0 < time.span <= report.ended - report.created
    assert "planned" not in render_markdown(report)
    assert "planned" in render_markdown(estimated)
    assert "| 10 min 00 s |" in render_markdown(estimated)


def test_there_is_always_a_next_step_and_it_is_said_once() -> None:
    failed, repaired = next_steps(make_report()), next_steps(make_report(fails=False))

    assert [step.command for step in failed] == ["planner retry run-20261123-k7xq3w"]
    assert [step.command for step in repaired] == [
        "planner gaps --start 2021-10-19 --end 2025-06-22"
    ]


def test_dates_left_to_recompute_that_no_failure_explains_are_a_next_step() -> None:
    report = make_report().model_copy(update={"failures": ()})

    command = next_steps(report)[-1].command
    assert command == "planner enqueue --gaps --start 2022-12-13 --end 2023-01-10"


def test_a_season_without_any_source_is_named_and_not_called_complete() -> None:
    report = make_report(seasons=1, fails=False, bare=2)

    assert bare_seasons(report) == ["2022-23", "2023-24"]
    assert "No source holds anything in 2022-23, 2023-24: " in render_markdown(report)
    assert bare_seasons(make_report()) == []


def test_the_model_imports_nothing_heavy() -> None:
    heavy = ("celery", "redis", "duckdb", "sqlglot", "pyarrow", "google.cloud.bigquery", "rich")
    script = (
        "import sys, planner.report.report, planner.report.html.render\n"
        "import planner.report.markdown, planner.report.handoff\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"


def test_the_success_criteria_are_a_table() -> None:
    report = make_report(seasons=2)

    lines = render_markdown(report).splitlines()

    start = lines.index("## Success criteria")
    table = [line for line in lines[start : start + 4 + len(report.criteria)] if line[:1] == "|"]
    assert len(table) == 2 + len(report.criteria)
    assert f"| {report.criteria[0].expected} | {report.criteria[0].found} |" in table[2]
