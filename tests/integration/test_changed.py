"""Dates that other code than today's made: found by what was noted when they were settled."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from planner.pipeline.load import load_pipeline
from planner.plan.parse import parse_plan
from planner.plan.plan import Plan
from tests.commands import Done
from tests.integration.mart import DAILY, DAYS, SCOPE, STATEMENTS, Mart
from tests.integration.test_code import git
from worker.run.plan import Wanted, plan_gaps
from worker.runners.fingerprint import fingerprint

Say = Callable[..., Done]
SPAN = ("--start", str(DAYS[0]), "--end", str(DAYS[-1]))
WRONG = STATEMENTS["daily"].replace(DAILY, DAILY.replace("paid FROM", "2 * paid AS paid FROM"))


@pytest.fixture
def say(mart: Mart) -> Say:
    def run(*arguments: str) -> Done:
        history = mart.context.settings.history_dataset
        more = {"BACKFILL_HISTORY_DATASET": history} if history else {}
        return mart.command(*arguments, **more)

    return run


def settle(
    mart: Mart, run: str, *phases: str, days: tuple[date, date] = (DAYS[0], DAYS[-1])
) -> None:
    """Write dates anew by a run of its own, with today's statements."""
    mart.run_id = run
    scope = SCOPE.model_copy(update={"start": days[0], "end": days[1]})
    wanted = Wanted(scope=scope, phases=phases, redo=phases, gaps=False)
    report = mart.run(plan_gaps(mart.context, mart.assess(), wanted, ledger=mart.ledger))
    assert report.state == "complete"


def rows(mart: Mart) -> list[list[str]]:
    return [
        sorted(repr(sorted(row.items())) for row in mart.warehouse.rows(f"SELECT * FROM m.{t}", {}))
        for t in ("daily", "trend")
    ]


def changed(done: Done) -> dict[tuple[str, str], list[str]]:
    return {(each["phase"], each["date"]): each["what"] for each in done.json["changed"]}


def tasks(plan: Plan) -> dict[tuple[str, date], str]:
    return {(s.phase, t.date): t.reason for _, s in plan.steps() for t in s.tasks}


@pytest.mark.slow
def test_a_mended_statement_tells_exactly_the_dates_that_the_wrong_one_made(
    mart: Mart, say: Say
) -> None:
    # Given dates that a right statement made, and some that a wrong one made
    right = rows(mart)
    settle(mart, "run-right", "daily", "trend")
    assert say("gaps", "--changed", *SPAN).code == 0
    mart.says("daily", WRONG)
    settle(mart, "run-wrong", "daily", "trend", days=(DAYS[1], DAYS[2]))
    assert rows(mart) != right

    # When the statement is mended, and Redis has lost everything
    mart.says("daily", f"-- mended\n{STATEMENTS['daily']}\n")
    mart.context.redis.flushdb()

    # Then these dates are told, without being gaps unless they are asked for
    told = say("gaps", *SPAN, "--json")
    assert told.code == 0
    wrong = {("daily", str(day)): ["statements"] for day in (DAYS[1], DAYS[2])}
    assert changed(told) == wrong
    assert "daily: 2 dates made by other code than today's (statements)" in say("gaps", *SPAN).out
    asked = say("gaps", "--changed", *SPAN, "--json")
    assert asked.code == 1
    assert {
        (gap["phase"], gap["date"]) for gap in asked.json["gaps"] if gap["reason"] == "changed"
    } == set(wrong)

    # And a plan takes them, with what rests on them
    refused = say("enqueue", "--changed", *SPAN)
    assert "hold all their rows are written anew." in " ".join(refused.err.split())
    plan = parse_plan(say("plan", "--redo", "--changed", "--json").json, where="here")
    assert tasks(plan) == {
        ("daily", DAYS[1]): "changed",
        ("daily", DAYS[2]): "changed",
        **{("trend", day): "cascade" for day in DAYS[1:]},
    }
    mart.run_id = "run-mend"
    assert mart.run(plan).state == "complete"

    # And every row is as the right statement made it
    assert rows(mart) == right
    done = say("gaps", "--changed", *SPAN, "--json")
    assert (done.code, changed(done), done.json["unknown"]) == (0, {}, [])


def test_what_made_the_dates_is_noted_before_the_end_is_told(
    mart: Mart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a worker that dies there would lose it, and a user who waited would not see it."""
    noted: list[list[str]] = []
    conclude = mart.ledger.conclude

    def concluding(*arguments: Any, **named: Any) -> bool:
        noted.append([path.name for path in mart.settings.folder("made").glob("*.json")])
        return conclude(*arguments, **named)

    monkeypatch.setattr(mart.ledger, "conclude", concluding)
    settle(mart, "run-a", "daily")

    assert noted == [["run-a.json"]]


def test_what_no_run_made_is_unknown_and_no_all_clear(mart: Mart, say: Say) -> None:
    settle(mart, "run-a", "trend")

    told = say("gaps", "--changed", *SPAN, "--json")

    assert told.code == 1
    assert changed(told) == {}
    assert [(each["phase"], len(each["dates"])) for each in told.json["unknown"]] == [("daily", 4)]
    assert say("gaps", *SPAN).code == 0  # it was not asked
    nothing = say("enqueue", "--changed", *SPAN, "--yes")
    assert nothing.code == 1
    assert "unknown: daily 2024-01-01" in nothing.err


def test_the_history_tells_it_where_the_home_is_another(mart: Mart, say: Say) -> None:
    mart.context.settings = mart.settings.model_copy(update={"history_dataset": "ops"})
    assert say("history", "--create").code == 0
    settle(mart, "run-a", "daily", "trend")
    shutil.rmtree(mart.settings.folder("made"))
    mart.says("trend", STATEMENTS["trend"].replace("SUM(past.paid)", "MAX(past.paid)"))

    told = say("gaps", "--changed", *SPAN, "--json")

    assert changed(told) == {("trend", str(day)): ["statements"] for day in DAYS}
    assert told.json["unknown"] == []


@pytest.mark.slow
def test_a_version_is_a_reason_and_decides_alone(mart: Mart, say: Say) -> None:
    settle(mart, "run-a", "daily", "trend")
    file = Path(mart.settings.pipeline)
    file.write_text(file.read_text().replace('name = "daily"\n', 'name = "daily"\nversion = "3"\n'))

    told = say("gaps", *SPAN, "--json")

    assert changed(told) == {("daily", str(day)): ["version"] for day in DAYS}


SCRIPTED = """
name = "x"
seasons = [{{ name = "2024", year = 2024, start = 2024-01-01, end = 2024-12-31 }}]
[[phases]]
name = "a"
tables = [{{ name = "m.a", date = "day" }}]
[[phases]]
name = "b"
after = ["a"]
tables = [{{ name = "m.b", date = "day" }}]
runners = [{{ kind = "script", command = ["python", "{script}"]{more} }}]
"""


class Root:
    """A folder of scripts, and what the fingerprint of a phase says of it."""

    def __init__(self, place: Path) -> None:
        self.place, self.root = place, place / "root"
        self.root.mkdir()
        (self.root / "job.py").write_text("print(1)\n")

    def code(self, script: str = "job.py", *, more: str | None = None) -> str:
        file = self.place / "x.toml"
        more = f', cwd = "{self.root}"' if more is None else more
        file.write_text(SCRIPTED.format(script=script, more=more))
        phase = load_pipeline(str(file)).phases[1]
        return fingerprint(phase, 0, self.place).code


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path)


def test_the_code_of_a_folder_is_its_content(root: Root) -> None:
    # Without a repository: the files of code, and nothing that scripts leave
    bare = root.code()
    assert bare.startswith("files:")
    (root.root / "job.log").write_text("1")
    (root.root / "made.json").write_text("1")
    assert root.code() == bare
    (root.root / "lib.py").write_text("RATE = 1\n")
    assert root.code() != bare
    # In one: what git knows, whether it is committed or not
    git(root.root, "init", "--quiet")
    new = root.code()
    git(root.root, "add", "job.py", "lib.py")
    git(root.root, "commit", "--quiet", "--message", "one")
    assert new == root.code()
    assert new.startswith("git:")
    (root.root / "lib.py").write_text("RATE = 2\n")
    other = root.code()
    assert other != new
    git(root.root, "commit", "--quiet", "--all", "--message", "two")
    git(root.root, "commit", "--quiet", "--allow-empty", "--message", "three")
    assert root.code() == other
    # And a mend gives the first one again
    (root.root / "lib.py").write_text("RATE = 1\n")
    assert root.code() == new


def test_a_script_without_a_folder_is_its_file_or_unknown(root: Root) -> None:
    script = str(root.root / "job.py")
    first = root.code(script, more="")
    assert first.startswith("files:")
    (root.root / "job.py").write_text("print(2)\n")
    assert root.code(script, more="") not in ("", first)
    assert root.code("-mjob", more="") == ""
    assert root.code(more=', cwd = "${NOT_SET_ANYWHERE}"') == ""


def test_without_git_the_files_are_read(root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
    git(root.root, "init", "--quiet")
    monkeypatch.setenv("PATH", str(root.place))

    assert root.code().startswith("files:")
