"""What `planner doctor` runs of a script: real processes, and what is said of them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from planner.errors import BadPipeline
from planner.pipeline.load import parse_pipeline
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.runners import ScriptRunner
from worker.runners import check
from worker.runners.job import Readiness
from worker.runners.script import Script

FILE = """
name = "mart"
seasons = [{{ name = "2024", year = 2024, start = 2024-01-01, end = 2024-12-31 }}]
[[phases]]
name = "sales"
tables = [{{ name = "m.sales", date = "day" }}]
[[phases]]
name = "daily"
after = ["sales"]
tables = [{{ name = "m.daily", date = "day" }}]
[[phases.runners]]
kind = "script"
command = ["python3", "daily.py", "{{start}}"]
{check}
"""


def parsed(line: str) -> Pipeline:
    return parse_pipeline(FILE.format(check=line), Path("mart.toml"))


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


Say = Callable[..., Readiness]


@pytest.fixture
def say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Say:
    monkeypatch.setenv("SHOP_TOKEN", "hush-hush-1234")

    def readiness(*words: str) -> Readiness:
        spec = ScriptRunner(
            kind="script",
            command=("python3", "daily.py", "{start}"),
            check=words,
            cwd=str(tmp_path),
            env={"PLACE": "${SHOP_TOKEN}", "SHOP_TOKEN": "${SHOP_TOKEN}"},
        )
        return Script(spec).readiness()

    return readiness


def test_a_check_that_ends_well_says_that_it_ran(say: Say, tmp_path: Path) -> None:
    found = say(*python(f"import os; assert os.path.samefile('.', {str(tmp_path)!r})"))
    assert found.ok, found
    assert found.detail.startswith("is there, and its check ran: ")


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (
            "import no_such_package",
            "its check ended with exit code 1: ModuleNotFoundError: No module named "
            "'no_such_package'",
        ),
        ("import os; print(os.environ['PLACE']); raise SystemExit(3)", "exit code 3: ***"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "exit code -9: no output"),
    ],
)
def test_a_check_that_fails_names_the_cause_and_no_secret(say: Say, code: str, told: str) -> None:
    found = say(*python(code))
    assert not found.ok
    assert found.detail.endswith(told)
    assert "where workers start: cd " in found.advice
    assert "hush-hush" not in str(found)


def test_a_check_that_cannot_be_started_is_told(say: Say) -> None:
    found = say("no-such-program")
    assert (found.ok, found.detail) == (
        False,
        "its check cannot be started: No such file or directory",
    )


def test_a_check_that_hangs_is_ended_with_all_that_it_began(
    say: Say, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "CHECK_SECONDS", 1.0)
    inner = f"import time; time.sleep(60); {str(tmp_path)!r}"
    found = say(
        *python(f"import subprocess, sys; subprocess.run([sys.executable, '-c', {inner!r}])")
    )
    assert (found.ok, found.detail) == (False, "its check does not end within 1 s: no output")
    alive = [each.info["cmdline"] or [] for each in psutil.process_iter(["cmdline"])]
    assert not [words for words in alive if str(tmp_path) in " ".join(words)]


def test_a_script_without_one_is_there_and_no_more_is_said(say: Say) -> None:
    found = say()
    assert (found.ok, found.detail) == (
        True,
        "is there; it has no `check`, so nothing of it was run",
    )


def test_a_check_changes_nothing_of_what_the_file_means() -> None:
    without, with_one = parsed(""), parsed('check = ["python3", "daily.py", "--help"]')
    assert with_one.checksum == without.checksum
    (runner,) = with_one.by_name["daily"].runners
    assert runner.recipe == without.by_name["daily"].runners[0].recipe
    with pytest.raises(BadPipeline, match=r"\{start\} is of a step"):
        parsed('check = ["python3", "daily.py", "{start}"]')
