"""`planner validate` and `planner compare`, as a user types them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from planner.pipeline.calendar import Calendar
from planner.pipeline.load import load_pipeline
from planner.sandbox.boxscores import read_boxscores
from planner.sandbox.build import build
from planner.sandbox.punch import punch_plan
from sql import open_warehouse
from tests.commands import Done, planner
from tests.conftest import Sandbox

REAL = Path(__file__).parents[3] / "shared/data/nba/player_boxscores.parquet"
PLAYOFFS = {"2021-22": (87, 45), "2022-23": (84, 45), "2023-24": (82, 44)}
"""Season → games and dates [league schedule]."""
SEASONS = "2021,2022,2023,2024"


def run(*arguments: str, warehouse: Path, home: Path) -> Done:
    environment = {
        **os.environ,
        "BACKFILL_WAREHOUSE": f"local:{warehouse}",
        "BACKFILL_HOME": str(home),
        "BACKFILL_PIPELINE": "nba",
    }
    return planner(*arguments, environment=environment, cwd=home.parent)


@pytest.mark.slow
@pytest.mark.skipif(not REAL.is_file(), reason=f"the real box scores are not in {REAL}")
def test_real_playoffs_are_gaps_before_and_complete_after(tmp_path: Path) -> None:
    # Given four real seasons, whole, and with the holes of the owner's plan
    pipeline = load_pipeline("nba")
    calendar = Calendar(pipeline=pipeline)
    seasons = [calendar.season_named(name) for name in SEASONS.split(",")]
    build(tmp_path / "whole", read_boxscores(REAL, seasons))
    shutil.copytree(tmp_path / "whole", tmp_path / "broken")
    punch_plan(open_warehouse(f"local:{tmp_path / 'broken'}"), pipeline)
    home = tmp_path / "home"

    # When both are validated and compared
    scope = ("--start", str(seasons[0].start), "--end", str(seasons[-1].end))
    before, after = (
        run("validate", *scope, "--save", name, "--json", warehouse=tmp_path / place, home=home)
        for name, place in (("before", "broken"), ("after", "whole"))
    )
    compared = run("compare", "before", "after", "--json", warehouse=tmp_path / "whole", home=home)

    # Then there are gaps before, complete after, and the playoffs have their real sizes
    assert (before.code, after.code, compared.code) == (1, 0, 0)
    for season, (games, dates) in PLAYOFFS.items():
        held, whole = (playoffs(done.json, season) for done in (before, after))
        assert held["raw"]["entities"] == games
        assert {row["overall"] for row in held.values()} == {"gaps"}
        assert {row["entities"] for phase, row in held.items() if phase != "raw"} == {0}
        assert {row["overall"] for row in whole.values()} == {"complete"}
        assert {(row["entities"], row["complete"]) for row in whole.values()} == {(games, dates)}
    changed = {(row["season"], row["part"], row["phase"]): row for row in compared.json["phases"]}
    assert changed["2021-22", "playoffs", "grading"]["before"]["complete"] == 0
    assert changed["2021-22", "playoffs", "grading"]["after"]["complete"] == 45
    assert ("2021-22", "", "raw") not in changed
    graded = [
        row
        for row in compared.json["criteria"]
        if (row["criterion"], row["season"]) == ("graded-rows", "2024-25")
    ]
    assert [(row["before"]["status"], row["after"]["status"]) for row in graded] == [
        ("no rows", "holds")
    ]


def playoffs(content: Any, season: str) -> dict[str, Any]:
    return {
        row["phase"]: row
        for row in content["answers"]["matrix"]
        if (row["season"], row["part"]) == (season, "playoffs")
    }


def test_the_suite_for_people(sandbox: Sandbox) -> None:
    sandbox.run_sql("DELETE FROM nba_analytics.player_game_summary WHERE game_date = '2021-11-20'")

    done = sandbox.planner("validate", "--season", "2021-22", "--save", "before")

    assert done.code == 1
    for said in (
        "2021-22",
        "gaps",
        "orphan",
        "success criteria",
        "playoffs",
        "2021-11-20",
        "no rows",
    ):
        assert said in done.out, said
    assert "Kept in" in done.err
    shown = sandbox.planner("compare", "before", str(sandbox.place / "home/baselines/before.json"))
    assert (shown.code, shown.out.strip()) == (0, "Nothing changed.")


def test_one_answer_alone(sandbox: Sandbox) -> None:
    done = sandbox.planner("validate", "--season", "2021-22", "--question", "grades", "--json")
    assert list(done.json["answers"]) == ["grades"]
    assert {row["system"] for row in done.json["answers"]["grades"]} > {"*", "form"}
    table = sandbox.planner("validate", "--season", "2021-22", "--question", "counts")
    assert "criteria" not in table.out


@pytest.mark.slow
def test_a_season_that_holds_makes_the_exit_code_0(make_sandbox: Callable[..., Sandbox]) -> None:
    sandbox = make_sandbox()
    # Two months are no season, so its rows and playoffs are not asked for.
    text = (sandbox.place / "nba.toml").read_text().split('[[criteria]]\nname = "graded-rows"')[0]
    (sandbox.place / "nba.toml").write_text(text)

    done = sandbox.planner("validate", "--season", "2021-22", "--json")
    assert done.code == 0, done.out
    assert done.json["holds"] is True
    # A season without any rows shows nothing
    other = sandbox.planner("validate", "--season", "2025-26")
    assert other.code == 1
    assert "Success criteria that do not hold: 1 of 1." in other.err


def test_a_question_is_printed_without_asking_the_warehouse(sandbox: Sandbox) -> None:
    shutil.rmtree(sandbox.place / "warehouse")
    done = sandbox.planner("validate", "--season", "2021-22", "--print", "matrix")
    assert done.code == 0
    assert "FROM `nba_analytics.player_game_summary`" in done.out
    assert "--parameter=start_date:DATE:2021-10-19" in done.out


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["validate", "--question", "matrx"], 2, "did you mean 'matrix'?"),
        (["validate", "--print", "x"], 2, "there are: counts, matrix"),
        (["validate", "--print", "matrix", "--json"], 2, "--print alone"),
        (["validate", "--season", "2019-20"], 2, "There is no season '2019-20'"),
        (["validate", "--save", "../before"], 2, "cannot name a baseline"),
        (["validate", "--season", "2021-22", "--start", "2021-11-01"], 2, "not both"),
        (["compare", "before", "after"], 2, "There is no baseline 'before'"),
        (["compare", "nba.toml", "nba.toml"], 2, "is not a baseline"),
    ],
)
@pytest.mark.quick(0, 3, 6)
def test_bad_input_is_one_line(
    arguments: list[str], code: int, said: str, sandbox: Sandbox
) -> None:
    done = sandbox.planner(*arguments)
    assert (done.code, done.out) == (code, "")
    assert said in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not list(sandbox.place.glob("**/baselines/*"))


def test_a_table_that_is_not_there_is_named(sandbox: Sandbox) -> None:
    sandbox.edit_pipeline(("nba_precompute.player_daily_cache", "nba_precompute.player_cache"))
    done = sandbox.planner("validate", "--save", "before")
    assert done.code == 3
    assert "no table nba_precompute.player_cache; did you mean" in done.err
    assert "'nba_precompute.player_daily_cache'" in done.err
    assert len(done.err.strip().splitlines()) == 1
    assert not list(sandbox.place.glob("**/baselines/*"))


HELP = """
import contextlib, io, sys
import typer
from planner.cli import app

names = [[], *([name] for name in typer.main.get_command(app).commands)]
for name in names:
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown), contextlib.suppress(SystemExit):
        app([*name, "--help"])
    assert "Usage" in shown.getvalue(), name
print([module for module in sys.argv[1:] if module in sys.modules])
"""


def test_no_commands_help_imports_anything_slow() -> None:
    slow = ["duckdb", "sqlglot", "google.cloud.bigquery", "celery", "pyarrow", "deltalake"]
    done = subprocess.run(
        [sys.executable, "-c", HELP, *slow], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
