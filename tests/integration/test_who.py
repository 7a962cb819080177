"""Who asked for a run, and what else was done to it."""

from __future__ import annotations

import getpass
import json
import re
import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from planner.report.markdown import render_markdown
from planner.report.report import Report
from tests.commands import Done
from tests.integration.mart import DAYS, Mart

Say = Callable[..., Done]
SPAN = ("--start", str(DAYS[0]), "--end", str(DAYS[-1]))
ME = f"{getpass.getuser()}@{socket.gethostname()}"
SECRET = "s3cret-of-the-mart"


@pytest.fixture
def say(mart: Mart) -> Say:
    return partial(mart.command, MART_TOKEN=SECRET, BACKFILL_HISTORY_DATASET="ops")


def test_every_command_that_touched_a_run_is_in_its_log(mart: Mart, say: Say) -> None:
    # Given a run that one person sends by a plan of another's
    mart.lose("trend", DAYS[2])
    file = mart.place / "plan.json"
    assert say("plan", *SPAN, "--as", "grace", "--out", str(file)).code == 0
    assert json.loads(file.read_text())["asked"]["by"] == "grace"
    sent = say("enqueue", "--plan", str(file), "--yes", "--json")
    run = sent.json["run_id"]

    # When others pause, resume and cancel it, once in vain
    assert say("retry", run, "--as", "in vain").code == 2
    assert say("pause", run, "--as", f"ada {SECRET}").code == 0
    assert say("resume", run).code == 0
    assert say("history", "--create").code == 0
    assert say("cancel", run, "--as", "ada").code == 0  # which ends it: nothing runs

    # Then they are told in order, without what was refused, and without secrets
    told = say("log", run, "--json").json["commands"]
    assert [(each["text"].split()[1], each["by"]) for each in told] == [
        ("enqueue", ME),
        ("pause", "ada ***"),
        ("resume", ME),
        ("cancel", "ada"),
    ]
    assert {(each["login"], each["host"]) for each in told} == {tuple(ME.split("@"))}
    assert {each["folder"] for each in told} == {str(mart.place)}
    assert {each["version"] for each in told} == {"0.1.0"}
    at = [datetime.fromisoformat(each["at"]) for each in told]
    assert at == sorted(at)
    assert datetime.now(UTC) - at[0] < timedelta(minutes=5)
    assert told[0]["text"] == f"planner enqueue --plan {file} --yes --json"
    assert f"planner pause {run} --as 'ada ***'" in say("log", run).out
    assert SECRET not in json.dumps(told)
    (row,) = say("runs", "--json").json["runs"]
    assert row["by"] == ME

    # And the report and the history have them
    report = Report.model_validate_json(mart.ledger.report(run) or "")
    assert [each.by for each in report.commands] == [each["by"] for each in told]
    assert f"- asked by: {ME}, from" in re.sub("[\\\\\u2060]", "", render_markdown(report))
    kept = "SELECT number, given_by, command FROM ops.backfill_commands ORDER BY number"
    assert [(row["number"], row["given_by"]) for row in mart.warehouse.rows(kept, {})] == [
        (n, each["by"]) for n, each in enumerate(told, start=1)
    ]

    # And a retry and a restore are told after them
    assert say("retry", run, "--as", "linus").code == 0
    mart.run_id = run
    assert mart.end().state == "complete"
    done = say("restore", run, "--yes", "--as", "grace")
    assert done.code == 0, done.err
    told = say("log", run, "--json").json["commands"]
    assert [(each["text"].split()[1], each["by"]) for each in told] == [
        ("enqueue", ME),
        ("pause", "ada ***"),
        ("resume", ME),
        ("cancel", "ada"),
        ("retry", "linus"),
        ("restore", "grace"),
    ]


def test_a_run_that_the_schedule_sent_says_so(mart: Mart, say: Say) -> None:
    mart.lose("trend", DAYS[2])

    done = say("heal", "--days", "3660", "--json")

    assert done.json["run_id"], done
    (command,) = say("log", done.json["run_id"], "--json").json["commands"]
    assert (command["by"], command["login"]) == ("schedule", getpass.getuser())
    assert command["text"] == "planner heal --days 3660 --json"


def test_a_run_that_is_not_there_has_no_log(say: Say) -> None:
    for command in ("log", "pause", "cancel"):
        done = say(command, "run-20260101-abcdef")
        assert done.code == 2
        assert "There is no run 'run-20260101-abcdef'" in done.err
