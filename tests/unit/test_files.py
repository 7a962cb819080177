"""Files that a user names: links, pipes and devices are what they were, and no read waits."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from planner.errors import UsageError
from planner.files import read_capped, write_whole
from planner.report.handoff import append_note

LIMIT = 1_000_000


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "pipe")
    return tmp_path / "pipe"


@pytest.fixture
def written_to(pipe: Path) -> Iterator[Path]:
    """A pipe that another process holds open for writing, and never writes to."""
    handle = os.open(pipe, os.O_RDWR)
    yield pipe
    os.close(handle)


def test_a_link_is_written_through(tmp_path: Path) -> None:
    target, link = tmp_path / "there" / "plan.json", tmp_path / "plan.json"
    target.parent.mkdir()
    link.symlink_to(target)

    write_whole(link, "new")  # the target is not there yet
    write_whole(link, "newer")

    assert link.is_symlink()
    assert target.read_text() == "newer"
    assert sorted(path.name for path in target.parent.iterdir()) == ["plan.json"]


def test_a_link_to_itself_is_refused(tmp_path: Path) -> None:
    link = tmp_path / "plan.json"
    link.symlink_to(link)

    with pytest.raises(OSError, match="link"):
        write_whole(link, "new")
    assert link.is_symlink()


def test_a_device_is_written_into(tmp_path: Path) -> None:
    link = tmp_path / "null"
    link.symlink_to("/dev/null")  # the device itself could not be restored

    write_whole(link, "new")

    assert link.is_char_device()
    assert os.listdir(tmp_path) == ["null"]


def test_a_pipe_is_written_into(pipe: Path) -> None:
    got: list[str] = []
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    os.set_blocking(reader, True)

    def read() -> None:
        select.select([reader], [], [])  # until a writer is there
        with os.fdopen(reader) as file:
            got.append(file.read())

    thread = threading.Thread(target=read)
    thread.start()
    write_whole(pipe, "x" * 300_000)  # more than a pipe holds
    thread.join(10)

    assert got == ["x" * 300_000]
    assert pipe.is_fifo()


def test_a_pipe_without_a_reader_is_refused(pipe: Path) -> None:
    with pytest.raises(OSError, match="no process reads"):
        write_whole(pipe, "new")
    assert pipe.is_fifo()


def test_a_note_is_appended_to_no_pipe(pipe: Path) -> None:
    with pytest.raises(UsageError, match="not a file"):
        append_note(pipe, "note")
    assert pipe.is_fifo()


def test_a_pipe_without_a_writer_is_no_input(pipe: Path) -> None:
    with pytest.raises(OSError, match="no process writes"):
        read_capped(pipe, LIMIT)


def test_a_pipe_that_stays_empty_is_given_up(
    written_to: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("planner.files.PIPE_SECONDS", 0.05)

    with pytest.raises(OSError, match="wrote nothing"):
        read_capped(written_to, LIMIT)


def test_a_shell_may_hand_a_pipe_over(pipe: Path) -> None:
    """As `--plan <(jq … plan.json)` does."""
    reader, writer = os.pipe()

    def write() -> None:
        with os.fdopen(writer, "wb") as file:
            file.write(b"y" * 300_000)

    thread = threading.Thread(target=write)
    thread.start()
    assert read_capped(Path(f"/dev/fd/{reader}"), LIMIT) == b"y" * 300_000
    thread.join(10)
    os.close(reader)


def test_a_device_is_no_input() -> None:
    with pytest.raises(OSError, match="device"):
        read_capped(Path("/dev/zero"), LIMIT)


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_bytes(b"\xef\xbb\xbf{}")

    assert read_capped(tmp_path / "plan.json", LIMIT) == b"{}"
