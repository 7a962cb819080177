"""What a user chooses for one run: values of placeholders, and the runner of a phase."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path

import pytest

from planner.errors import BadPipeline
from planner.pipeline.load import load_pipeline
from planner.plan.parse import read_plan
from planner.report.markdown import render_markdown
from tests.commands import Done
from tests.integration.mart import DAILY, DAYS, RUN, STATEMENTS, MakeMart, Mart
from worker.context import Context
from worker.ledger.keys import run_key
from worker.runners.environment import fill

Say = Callable[..., Done]
SPAN = ("--start", str(DAYS[1]), "--end", str(DAYS[2]), "--no-cascade")
VALUES = 'values = { rate = { default = "1", pattern = "[0-9]" } }'
SECRET = "777777"


def rated(rate: str) -> str:
    return STATEMENTS["daily"].replace(DAILY, DAILY.replace("paid FROM", f"{rate} AS paid FROM"))


@pytest.fixture
def mart(make_mart: MakeMart) -> Mart:
    """`daily` has two runners: one multiplies by a value, the other adds a hundred."""
    made = make_mart()
    file = Path(made.settings.pipeline)
    second = '[[phases.runners]]\nkind = "sql"\nstatements = ["hundred"]'
    own = f'statements = ["daily"]\n{VALUES}\n{second}'
    file.write_text(file.read_text().replace('statements = ["daily"]', own))
    made.says("daily", rated("paid * CAST(@rate AS INT64)"))
    made.says("hundred", rated("paid + 100"))
    made.context = Context(made.settings, patient=False)
    return made


@pytest.fixture
def say(mart: Mart) -> Say:
    return partial(mart.command, MART_TOKEN=SECRET)


def paid(mart: Mart, day: date) -> list[int]:
    rows = mart.warehouse.rows("SELECT paid FROM m.daily WHERE day = @day", {"day": day})
    return sorted(row["paid"] for row in rows)


@pytest.mark.parametrize(
    ("chosen", "shown", "made", "differs"),
    [
        ((), None, [1, 2, 3, 4], None),
        (("--set", "rate=3"), "set: rate = 3", [3, 6, 9, 12], "runner"),
        (
            ("--runner", "daily=2"),
            "set: daily by its runner 2",
            [101, 102, 103, 104],
            "statements",
        ),
    ],
)
@pytest.mark.quick(1, 2)
def test_a_run_uses_what_was_chosen(
    mart: Mart,
    say: Say,
    chosen: tuple[str, ...],
    shown: str | None,
    made: list[int],
    differs: str | None,
) -> None:
    file = mart.place / "plan.json"
    asked = ("plan", "--redo", "--phases", "daily", *SPAN, *chosen)
    told = say(*asked, "--out", str(file))
    assert told.code == 0
    assert shown is None or shown in told.err

    # When the plan is sent as a file, as others would
    sent = say("enqueue", "--plan", str(file), "--yes", "--json")
    assert sent.code == 0
    mart.run_id = sent.json["run_id"]
    report = mart.end()

    # Then that made the rows, and ledger, report and note say so
    assert report.state == "complete"
    assert paid(mart, DAYS[1]) == made
    assert paid(mart, DAYS[3]) == [1, 2, 3, 4]
    record = mart.ledger.require(mart.run_id)
    assert (record.values, record.pinned) == (report.values, report.pinned)
    assert shown is None or f"- {shown}" in render_markdown(report).replace("\\", "")
    gaps = say("gaps", *SPAN[:4], "--json").json
    assert {(each["phase"], each["date"]) for each in gaps["changed"]} == (
        {("daily", str(day)) for day in DAYS[1:3]} if differs else set()
    )
    assert all(differs in each["what"] for each in gaps["changed"])


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        (("--set", "rate=12"), "--set rate='12' of daily does not match [0-9]."),
        (("--set", "rate=1\n"), "--set rate='1\\n' of daily is not one line"),
        (("--set", "rate=${HOME}"), "names a variable"),
        (("--set", "rat=1"), "--set rat: no runner of these phases declares it;"),
        (("--set", "rate"), "'rate': write name=value"),
        (("--set", "rate="), "'rate=': write name=value"),
        (("--runner", "daily=2", "--set", "rate=1"), "no runner of these phases declares it"),
        (("--runner", "daily=3"), "--runner daily=3: daily has runners 1 to 2: name one."),
        (("--runner", "daily=x"), "'daily=x': write phase=number"),
        (("--runner", "dayly=1"), "--runner dayly=1: no such phase may be run;"),
    ],
)
def test_what_cannot_be_chosen_is_refused(
    mart: Mart, say: Say, chosen: tuple[str, ...], says: str
) -> None:
    done = say("enqueue", "--redo", "--yes", *SPAN, *chosen)

    assert done.code == 2
    assert says in " ".join(done.err.replace("│", " ").split())
    assert mart.ledger.runs() == []


def test_a_secret_is_no_value(mart: Mart, say: Say) -> None:
    file = Path(mart.settings.pipeline)
    file.write_text(file.read_text().replace('pattern = "[0-9]"', 'pattern = "[0-9]+"'))

    done = say("plan", "--redo", *SPAN, "--set", f"rate={SECRET}")

    assert done.code == 2
    assert "--set rate is a secret that this process knows" in " ".join(done.err.split())
    assert SECRET not in done.err


def test_a_plan_whose_value_was_edited_is_refused(mart: Mart, say: Say) -> None:
    file = mart.place / "plan.json"
    assert say("plan", "--redo", *SPAN, "--set", "rate=3", "--out", str(file)).code == 0
    file.write_text(file.read_text().replace('"rate": "3"', '"rate": "4"'))
    assert "was edited" in say("enqueue", "--plan", str(file), "--yes").err


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (("--set", "rate=3"), "--set"),
        (("--runner", "daily=2"), "--runner"),
        (("--redo",), "--redo"),
        (("--redo", "--changed"), "--changed, --redo"),
        (("--gaps",), "--gaps"),
        (("--dates", str(DAYS[1]), "--exclude", str(DAYS[2])), "--dates, --exclude"),
    ],
)
@pytest.mark.quick(0)
def test_a_plan_file_takes_nothing_beside_it_that_shapes_a_plan(
    mart: Mart, say: Say, given: tuple[str, ...], named: str
) -> None:
    file = mart.place / "plan.json"
    assert say("plan", "--redo", *SPAN, "--out", str(file)).code == 0

    refused = say("enqueue", "--plan", str(file), "--yes", *given)

    assert refused.code == 2
    assert f"by itself what to do, so {named} cannot be given beside it" in refused.err
    assert mart.ledger.runs() == []


def test_a_plan_file_takes_what_orders_a_run(mart: Mart, say: Say) -> None:
    file = mart.place / "plan.json"
    assert say("plan", "--redo", *SPAN, "--set", "rate=3", "--out", str(file)).code == 0
    orders = ("--no-keep", "--deadline", "6h", "--max-dollars", "5", "--as", "ada")

    sent = say("enqueue", "--plan", str(file), *orders, "--yes", "--json")

    run = mart.ledger.require(sent.json["run_id"])
    assert (run.keep, run.max_dollars, run.values) == (False, 5.0, {"rate": "3"})
    assert run.asked is not None
    assert run.asked.by == "ada"
    assert run.deadline


def test_a_plan_that_was_sealed_with_what_the_file_does_not_allow_is_refused(
    mart: Mart, say: Say
) -> None:
    file = mart.place / "plan.json"
    assert say("plan", "--redo", *SPAN, "--out", str(file)).code == 0
    wrong = read_plan(file).model_copy(update={"values": {"rate": "1; DROP"}})
    file.write_text(wrong.sealed().model_dump_json())

    refused = say("enqueue", "--plan", str(file), "--yes")

    assert refused.code == 2
    assert "does not match [0-9]" in " ".join(refused.err.split())


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ('{ start = { default = "1", pattern = "1" } }', "has a meaning already"),
        ('{ api_token = { default = "1", pattern = "1" } }', "looks like a secret"),
        ('{ rate = { default = "x", pattern = "[0-9]" } }', "its default 'x' does not match"),
        ('{ rate = { default = "x", pattern = "[" } }', "not a regular expression"),
        ('{ rate = { default = "x" } }', "rate.pattern"),
    ],
)
def test_a_declaration_that_cannot_be_is_refused(mart: Mart, values: str, says: str) -> None:
    file = Path(mart.settings.pipeline)
    file.write_text(file.read_text().replace(VALUES, f"values = {values}"))

    with pytest.raises(BadPipeline) as refused:
        load_pipeline(str(file))

    assert says in str(refused.value)


def test_a_value_that_redis_holds_has_to_match_when_it_is_used(mart: Mart) -> None:
    mart.lose("daily", DAYS[1])
    mart.begin(mart.plan())
    forged = json.dumps({"rate": "1); DROP TABLE m.daily; --"})
    mart.ledger.client.hset(run_key(RUN), "values", forged)

    mart.go_on(["daily"])

    assert "does not match [0-9]" in mart.problem(DAYS[1], "daily")
    assert paid(mart, DAYS[1]) == []
    assert paid(mart, DAYS[0]) == [1, 2, 3, 4]


def test_what_is_put_in_is_not_looked_at_again() -> None:
    values = {"a": "{start}", "b": "{a}"}

    assert fill("{a} {b} {end} {c} ${d}", (DAYS[0],), values) == "{start} {a} 2024-01-01 {c} ${d}"
