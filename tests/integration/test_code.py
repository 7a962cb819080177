"""Which code a run was made by: noted, shown, and told when it changes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import redis

from planner.report.markdown import render_markdown
from planner.report.report import CodeSeen
from tests.reports import make_report
from worker.ledger.ledger import Ledger
from worker.runners.code import code_of


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=t", "-c", "user.email=t@example.com")
    done = subprocess.run(
        ["git", "-C", str(folder), *who, *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    (tmp_path / "job.py").write_text("print(1)\n")
    git(tmp_path, "add", "job.py")
    git(tmp_path, "commit", "--quiet", "--message", "one")
    return tmp_path


def test_a_commit_and_whether_it_was_changed_since(root: Path) -> None:
    commit = git(root, "rev-parse", "HEAD")[:12]
    assert code_of(root) == f"{commit}, clean"

    (root / "job.py").write_text("print(2)\n")
    one = code_of(root)
    (root / "job.py").write_text("print(3)\n")
    other = code_of(root)

    assert one.startswith(f"{commit}, with changes that are not committed (")
    assert other.startswith(f"{commit}, with changes that are not committed (")
    assert one != other

    git(root, "commit", "--quiet", "--all", "--message", "two")
    assert code_of(root) == f"{git(root, 'rev-parse', 'HEAD')[:12]}, clean"


def test_a_new_script_is_a_change_and_a_log_is_none(root: Path) -> None:
    (root / "job.log").write_text("")
    assert code_of(root).endswith(", clean")

    (root / "other.py").write_text("")
    assert "with changes" in code_of(root)


def test_a_run_notes_each_code_once_and_tells_the_one_before(client: redis.Redis) -> None:
    ledger = Ledger(client)

    told = [ledger.note_code("run-1", code) for code in ("a", "a", "b", "a", "b")]

    assert told == [None, None, "a", None, None]
    assert [seen.code for seen in ledger.code("run-1")] == ["a", "b"]
    assert ledger.code("run-2") == ()


def test_a_folder_that_is_no_working_tree_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))

    assert code_of(tmp_path).startswith("not known: fatal: not a git repository")
    assert code_of(tmp_path / "absent").startswith("not known: ")


def test_without_git_it_is_not_known(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")

    assert code_of(root).startswith("not known: ")


def test_the_report_shows_it_and_says_that_it_changed() -> None:
    one, other = CodeSeen(code="1a2b, clean", since=0.0), CodeSeen(code="3c4d, clean", since=60.0)
    report = make_report(seasons=1)

    assert "code:" not in render_markdown(report)
    assert "- code: 1a2b, clean\n" in render_markdown(report.model_copy(update={"code": (one,)}))
    changed = render_markdown(report.model_copy(update={"code": (one, other)}))
    assert (
        "- code: it changed during the run: 1a2b, clean (from 1970-01-01 00:00:00 UTC), then "
        "3c4d, clean (from 1970-01-01 00:01:00 UTC)\n"
    ) in changed
