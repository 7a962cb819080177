"""The hand-off note: what it says, and that it leaves a file's text alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from planner.errors import UsageError
from planner.report.handoff import append_note, handoff_note
from tests.reports import make_report

NOTE = "## a note\n\n- filled: nothing\n"


def test_the_note_is_dated_and_says_what_was_filled_what_remains_and_how_to_go_on() -> None:
    note = handoff_note(make_report())

    assert note.startswith("## 2026-11-23 ")
    assert "backfill run-20261123-k7xq3w failed" in note
    assert "- filled: analytics 141 dates" in note
    assert "- remains: **analytics** failed, 2 dates: 2022-12-11..2022-12-12" in note
    assert "`planner retry run-20261123-k7xq3w`" in note
    assert len(note.splitlines()) < 15


def test_the_note_of_a_complete_run_leaves_nothing() -> None:
    note = handoff_note(make_report(fails=False))

    assert "- remains: nothing\n" in note
    assert "retry" not in note


def test_hostile_text_stays_on_its_line_and_is_no_markup() -> None:
    note = handoff_note(make_report(error="# boo\n\n<img onerror=x> `rm -rf` [a](b)"))

    assert "\n# boo" not in note
    assert r"\# boo \<img onerror=x\> \`rm -rf\` \[a\](b)" in note


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", NOTE),
        ("text", f"text\n\n{NOTE}"),
        ("text\n", f"text\n\n{NOTE}"),
        ("text\n\n", f"text\n\n{NOTE}"),
        ("text\r\n", f"text\r\n\n{NOTE}"),
        ("\n", f"\n\n{NOTE}"),
    ],
)
def test_the_note_stands_after_what_was_there_and_one_blank_line(
    tmp_path: Path, before: str, after: str
) -> None:
    path = tmp_path / "handoff.md"
    path.write_bytes(before.encode())

    append_note(path, NOTE)

    assert path.read_bytes() == after.encode()


def test_a_file_that_is_not_there_is_made_and_a_second_note_follows_the_first(
    tmp_path: Path,
) -> None:
    path = tmp_path / "handoff.md"

    append_note(path, NOTE)
    append_note(path, NOTE)

    assert path.read_text() == f"{NOTE}\n{NOTE}"


def test_what_cannot_be_appended_to_is_one_line_and_nothing_is_left(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path, tmp_path / "pipe", tmp_path / "no" / "file.md", Path("/dev/null")):
        with pytest.raises(UsageError) as caught:
            append_note(place, NOTE)
        assert str(place) in str(caught.value)
        assert "\n" not in str(caught.value)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pipe"]
