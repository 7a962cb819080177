"""An all-clear covers what it names: retries, plan files, flaws asked for, sources, text."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from planner.gaps.gaps import Finding, GapReason
from planner.plan.states import RunState
from planner.report.advice import next_steps
from planner.report.html.render import render_page
from planner.report.markdown import render_markdown
from planner.sandbox.workers import environment_of
from tests.commands import Done, here
from tests.integration.mart import (
    DAILY,
    DAYS,
    NEGATIVE,
    REPLACE,
    RUN,
    SCOPE,
    STATEMENTS,
    MakeMart,
    Mart,
)
from worker.run import control

Say = Callable[..., Done]
KEY = 'key = ["store", "player"]'
OFF = "INSERT INTO m.daily SELECT @day AS day, @store AS store, 'p1' AS player, 0 AS paid"
TWICE = "INSERT INTO m.daily SELECT * FROM m.daily WHERE day = @day"
NOTHING = "DELETE FROM m.daily WHERE FALSE"
SPAN = ("--start", str(SCOPE.start), "--end", str(SCOPE.end))


@pytest.fixture
def say() -> Say:
    """A command as a user types it, for a mart."""

    def run(mart: Mart, *arguments: str) -> Done:
        environment = {**os.environ, **environment_of(mart.settings)}
        return here(*arguments, environment=environment, cwd=mart.place)

    return run


def again(mart: Mart, monkeypatch: pytest.MonkeyPatch) -> None:
    """`planner retry`, whose messages the test delivers itself."""
    monkeypatch.setattr(control, "send_steps", lambda *_: None)
    control.retry(mart.context, RUN)
    mart.ledger.move(RUN, RunState.RUNNING, [RunState.INCOMPLETE])


# -- a retry ---------------------------------------------------------------------------------------


def test_a_retry_does_not_forgive_duplicates_that_the_run_made(
    make_mart: MakeMart, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a run whose script appended, so that its step failed
    mart = make_mart(daily=KEY)
    mart.lose("daily", DAYS[1], "s4")
    mart.says("daily", f"INSERT INTO m.daily {DAILY}")
    assert mart.run(mart.plan()).state == "failed"

    # When it is tried again with a script that finds nothing to do
    mart.says("daily", NOTHING)
    again(mart, monkeypatch)
    report = mart.end()

    # Then the duplicates are still new to the run
    assert report.state == "failed"
    assert mart.problem(DAYS[1], "daily").startswith("new duplicate on 2024-01-02")


@pytest.mark.slow
def test_a_retry_that_removes_duplicates_succeeds(
    make_mart: MakeMart, monkeypatch: pytest.MonkeyPatch
) -> None:
    mart = make_mart(daily=KEY)
    mart.lose("daily", DAYS[1], "s4")
    mart.says("daily", f"INSERT INTO m.daily {DAILY}")
    mart.run(mart.plan())

    mart.says("daily", STATEMENTS["daily"])
    again(mart, monkeypatch)

    assert mart.end().state == "complete"


# -- flaws that were asked for ---------------------------------------------------------------------


def test_every_flaw_that_was_asked_for_has_to_go(make_mart: MakeMart) -> None:
    # Given a date with two flaws, and a statement that mends one of them
    mart = make_mart(daily=KEY)
    mart.sql(OFF, day=DAYS[1], store="off")
    mart.sql(TWICE, day=DAYS[1])
    distinct = (
        "SELECT DISTINCT day, store, player, paid FROM m.daily "
        "WHERE day BETWEEN @start_date AND @end_date"
    )
    mart.says("daily", REPLACE.format(table="daily", select=distinct))

    report = mart.run(mart.plan([GapReason.DUPLICATE, GapReason.SURPLUS]))

    assert report.state == "failed"
    assert mart.problem(DAYS[1], "daily") == (
        "still surplus on 2024-01-02: m.daily holds 1 store too many: off"
    )


def test_a_partial_date_loses_the_surplus_that_was_asked_for(make_mart: MakeMart) -> None:
    mart = make_mart()
    mart.lose("daily", DAYS[1], "s2")
    mart.sql(OFF, day=DAYS[1], store="x")
    mart.says("daily", f"INSERT INTO m.daily {DAILY} AND store = 's2'")

    report = mart.run(mart.plan([GapReason.SURPLUS]))

    assert report.state == "failed"
    assert mart.problem(DAYS[1], "daily").startswith("still surplus on 2024-01-02")


def test_a_flaw_that_comes_back_after_its_recount_does_not_pass(make_mart: MakeMart) -> None:
    # Given a date that lacks a store and holds another, and a run that mends both
    mart = make_mart()
    foreign = OFF.replace("m.daily", "m.trend")
    mart.lose("trend", DAYS[3], "s2")
    mart.sql(foreign, day=DAYS[3], store="x")
    mart.begin(mart.plan([GapReason.SURPLUS]))
    mart.go_on()
    assert mart.problem(DAYS[3], "trend") == ""

    mart.sql(foreign, day=DAYS[3], store="x")
    report = mart.end()

    assert report.state == "failed"
    (short,) = report.validation.short
    assert (short.date, short.reason) == (DAYS[3], "surplus")


def test_a_flaw_that_was_not_asked_for_fails_no_step(make_mart: MakeMart) -> None:
    mart = make_mart()
    mart.lose("daily", DAYS[1], "s2")
    mart.sql(OFF, day=DAYS[1], store="x")
    mart.says("daily", f"INSERT INTO m.daily {DAILY} AND store = 's2'")

    report = mart.run(mart.plan())

    assert report.state == "complete"
    assert report.validation.remaining


# -- a plan that was made before -------------------------------------------------------------------


@pytest.fixture
def out(tmp_path: Path) -> str:
    return str(tmp_path / "plan.json")


def test_a_plan_file_is_taken_over_a_flaw_upstream(make_mart: MakeMart, say: Say, out: str) -> None:
    mart = make_mart()
    mart.sql(OFF, day=DAYS[1], store="off")
    mart.lose("trend", DAYS[1])

    assert say(mart, "plan", "--out", out, *SPAN).code == 0
    sent = say(mart, "enqueue", "--plan", out, "--yes")

    assert sent.code == 0, sent.err


@pytest.mark.parametrize("asked", ["duplicate", pytest.param("surplus", marks=pytest.mark.slow)])
def test_a_plan_file_for_a_flaw_that_is_gone_is_refused(
    make_mart: MakeMart, say: Say, out: str, asked: str
) -> None:
    # Given a plan for one flaw, and a date that has only another, or none, when it is sent
    mart = make_mart(daily=KEY)
    mart.sql(TWICE if asked == "duplicate" else OFF, day=DAYS[1], store="off")
    assert say(mart, "plan", "--out", out, "--reasons", asked, *SPAN).code == 0
    mart.sql(STATEMENTS["daily"], start_date=DAYS[1], end_date=DAYS[1])
    if asked == "surplus":
        mart.sql(TWICE, day=DAYS[1])

    sent = say(mart, "enqueue", "--plan", out, "--yes")

    why = "is complete now" if asked == "duplicate" else "is not surplus any more (m.daily holds 8"
    assert (sent.code, sent.out.count("Run ")) == (2, 0)
    assert f"daily 2024-01-02 {why}" in sent.err
    assert mart.ledger.runs() == []


def test_a_plan_file_for_a_flaw_that_is_there_is_taken(
    make_mart: MakeMart, say: Say, out: str
) -> None:
    mart = make_mart(daily=KEY)
    mart.sql(TWICE, day=DAYS[1])
    assert say(mart, "plan", "--out", out, "--reasons", "duplicate", *SPAN).code == 0

    assert say(mart, "enqueue", "--plan", out, "--yes").code == 0


def test_a_plan_file_for_rows_that_came_with_a_flaw_is_refused(
    make_mart: MakeMart, say: Say, out: str
) -> None:
    """A script that appends would double them."""
    mart = make_mart()
    mart.lose("trend", DAYS[3])
    assert say(mart, "plan", "--out", out, *SPAN).code == 0
    mart.sql(STATEMENTS["trend"], start_date=DAYS[3], end_date=DAYS[3])
    mart.sql(OFF.replace("m.daily", "m.trend"), day=DAYS[3], store="off")

    sent = say(mart, "enqueue", "--plan", out, "--yes")

    assert sent.code == 2
    assert "trend 2024-01-04 is not missing any more (m.trend holds 1 store too many" in sent.err


# -- what no phase writes, and what is in two ------------------------------------------------------


def test_a_flaw_of_a_source_is_no_all_clear(make_mart: MakeMart, say: Say) -> None:
    mart = make_mart()
    pipeline = Path(mart.settings.pipeline)
    text = pipeline.read_text()
    first = text.index('entities = { store = "store" } }')
    pipeline.write_text(text[:first] + 'key = ["store"], ' + text[first:])
    mart.sql(TWICE.replace("m.daily", "m.sales"), day=DAYS[1])

    shown = say(mart, "gaps", *SPAN)
    sent = say(mart, "enqueue", "--gaps", "--reasons", "duplicate", "--yes", *SPAN)

    assert shown.code == 1
    assert "No phase writes sales: mend its rows where they come from." in shown.out
    assert "--reasons" not in shown.out
    assert sent.code == 1
    assert "sales 2024-01-02: flawed" in sent.err
    assert "Nothing to do." not in sent.out


def test_the_command_for_stale_dates_takes_them(make_mart: MakeMart, say: Say) -> None:
    mart = make_mart()
    mart.sql(STATEMENTS["daily"], start_date=DAYS[3], end_date=DAYS[3])

    shown = say(mart, "gaps", "--stale", *SPAN)

    (line,) = [each for each in shown.out.splitlines() if each.startswith("Repair them with: ")]
    command = line.removeprefix("Repair them with: planner ").split()
    assert "stale" in shown.out
    assert sorted(command) == sorted(["enqueue", "--gaps", "--stale", *SPAN])
    assert say(mart, *command, "--yes").out.count(" is on its way") == 1


def test_a_table_in_two_phases_has_the_audits_of_both(make_mart: MakeMart) -> None:
    mart = make_mart()
    mart.says("negative", NEGATIVE)
    pipeline = Path(mart.settings.pipeline)
    pipeline.write_text(
        pipeline.read_text()
        + '[[phases]]\nname = "again"\nafter = ["daily"]\n'
        + 'runners = [{ kind = "sql", statements = ["trend"] }]\n[[phases.tables]]\n'
        + 'name = "m.daily"\ndate = "day"\naudits = ["negative"]\n'
        + 'entities = { store = "store", player = "player" }\n'
    )
    mart.lose("daily", DAYS[1])
    mart.sql(
        "INSERT INTO m.daily SELECT day, store, player, -paid AS paid FROM m.sales "
        "WHERE day = @day",
        day=DAYS[1],
    )

    gaps = mart.assess().gaps

    assert list(gaps["again"]) == [DAYS[1]]
    assert not gaps["daily"]


def test_a_date_whose_source_was_emptied_is_not_to_be_retried(make_mart: MakeMart) -> None:
    mart = make_mart()
    mart.retries(2)
    mart.lose("daily", DAYS[1])
    plan = mart.plan()
    mart.lose("sales", DAYS[1])

    report = mart.run(plan)

    assert report.state == "failed"
    assert mart.problem(DAYS[1], "daily").startswith("the source of sales holds nothing of ")
    assert mart.ledger.step(RUN, f"{DAYS[1]}/daily").failures == 0
    steps = [step.command for step in next_steps(report)]
    assert any(step.startswith("planner enqueue --gaps") for step in steps)
    assert not any("retry" in step for step in steps)


# -- text of others --------------------------------------------------------------------------------

HOSTILE = {
    "x\nNo gaps.": r"'x\nNo gaps.'",
    "\x1b[2J": r"'\x1b[2J'",
    "\u202egnitset": r"'\u202egnitset'",
    "": "''",
    "a, b": "'a, b'",
    "s1 ": "'s1 '",
    "[red]x[/]": "[red]x[/]",
    "`rm`<b>": "`rm`<b>",
    "y" * 5000: "y" * 80 + "…",
}


@pytest.mark.slow
def test_ids_are_shown_on_one_line(make_mart: MakeMart, say: Say) -> None:
    mart = make_mart()
    for store in HOSTILE:
        mart.sql(OFF, day=DAYS[1], store=store)
    mart.lose("daily", DAYS[1], "s2")

    shown = say(mart, "gaps", "--entities", *SPAN)

    (line,) = [each for each in shown.out.splitlines() if each.startswith("daily 2024-01-02: ")]
    for text in HOSTILE.values():
        assert text in line
    assert "No gaps." not in shown.out.splitlines()

    # And in the report, in which markup is shown as it is
    mart.says("daily", NOTHING)
    report = mart.run(mart.plan())
    page, text = render_page(report), render_markdown(report)
    assert "\\`rm\\`\\<b\\>" in text
    assert "`rm`&lt;b&gt;" in page
    assert "\x1b" not in page + text
    assert "\u202e" not in page + text


@pytest.mark.parametrize(("text", "shown"), HOSTILE.items())
def test_an_id_reads_as_one_word(text: str, shown: str) -> None:
    finding = Finding(
        table="m.daily",
        reason=GapReason.SURPLUS,
        expected=0,
        found=1,
        entity="store",
        ids=(text,),
        apart=1,
    )

    assert finding.named == shown


def test_control_characters_of_others_are_not_in_the_page(make_mart: MakeMart) -> None:
    mart = make_mart()
    mart.lose("daily", DAYS[1])
    mart.says("daily", NOTHING)
    report = mart.run(mart.plan())

    marked = report.model_copy(update={"reason": "why \x1b[2J\x07"})

    assert "\x1b" not in render_page(marked)


# -- bad input -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "audit",
    [
        pytest.param("no query", marks=pytest.mark.slow),
        "DELETE FROM m.daily WHERE TRUE",
        pytest.param(
            "SELECT day FROM m.daily; DELETE FROM m.daily WHERE TRUE", marks=pytest.mark.slow
        ),
        "SELECT day FROM m.daily) ; DELETE FROM m.daily WHERE TRUE; SELECT (1",
        "SELECT day FROM m.daily WHERE nothing = 1",
        pytest.param("SELECT day FROM m.daily WHERE day = @nothing", marks=pytest.mark.slow),
        pytest.param("SELECT day FROM m.nothing", marks=pytest.mark.slow),
        "SELECT store FROM m.daily",
        pytest.param("SELECT CAST(day AS TIMESTAMP) AS day FROM m.daily", marks=pytest.mark.slow),
        pytest.param(" ", marks=pytest.mark.slow),
    ],
)
@pytest.mark.quick(1, 3, 7)
def test_doctor_marks_an_audit_that_cannot_run_and_goes_on(
    make_mart: MakeMart, say: Say, audit: str
) -> None:
    mart = make_mart(daily='audits = ["negative"]', audit=audit)

    shown = say(mart, "doctor")
    told = say(mart, "validate", *SPAN)

    (line,) = [each for each in shown.out.splitlines() if each.startswith("✗")]
    assert line.startswith("✗ audit: negative: The audit negative ")
    assert shown.out.splitlines()[-1].startswith("✓ trend: sql 1")
    assert (shown.code, shown.err) == (3, "")
    assert (told.code, told.out, len(told.err.splitlines())) == (2, "", 1), told.err


@pytest.mark.parametrize("reasons", ["nonsense", "stale", "orphan", "DUPLICATE", "\x1b[2J", "; --"])
@pytest.mark.quick(0, 4)
def test_a_reason_that_is_none_is_told(make_mart: MakeMart, say: Say, reasons: str) -> None:
    mart = make_mart()
    mart.lose("daily", DAYS[1])

    for command in (["plan"], ["enqueue", "--gaps", "--yes"]):
        told = say(mart, *command, "--reasons", reasons, *SPAN)

        assert (told.code, told.out, len(told.err.splitlines())) == (2, "", 1), told.err
        assert "is none that can be repaired" in told.err
        assert "\x1b" not in told.err
    assert mart.ledger.runs() == []
