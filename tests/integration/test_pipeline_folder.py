"""A folder of pipeline files, as careless or hostile hands leave it: what is no file of ours is
said, nothing of it is waited for, and the others are served."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from planner.pipeline import load as loading
from planner.pipeline.folder import look, pipeline_files
from planner.pipeline.load import SHIPPED
from tests.commands import Done
from tests.integration.mart import Mart
from tests.integration.shop import RUN, Shop, day
from worker.context import Context
from worker.ledger.lease import Lease
from worker.step.errors import Requeue
from worker.step.resources import leases_of
from worker.step.visit import visit

SALES = (SHIPPED / "sales.toml").read_text(encoding="utf-8")


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


HOSTILE: dict[str, Callable[[Path], object]] = {
    "a pipe": os.mkfifo,
    "a device": lambda path: path.symlink_to("/dev/zero"),
    "a link to itself": lambda path: path.symlink_to(path),
    "a link to nothing": lambda path: path.symlink_to("nothing"),
    "another file": lambda path: path.symlink_to("/etc/passwd"),
    "a huge file": lambda path: path.write_bytes(b"#" * 2_000_000),
    "a folder": Path.mkdir,
    "a socket": make_socket,
    "a path as its name": lambda path: path.write_text(SALES.replace('"sales"', '"../../x"', 1)),
    "an empty file": Path.touch,
    "no text": lambda path: path.write_bytes(b"\xff\xfe" * 9),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_no_pipeline_file_is_said_and_the_others_are_read(
    tmp_path: Path, what: str
) -> None:
    HOSTILE[what](tmp_path / "a.toml")
    (tmp_path / "b.toml").write_text(SALES.replace('name = "sales"', 'name = "other"', 1))
    began = time.monotonic()

    found, troubles = look("sales", tmp_path)

    assert time.monotonic() - began < 5
    assert [pipeline.name for _, pipeline in found] == ["sales", "other"]
    assert len(troubles) == 1, troubles
    assert "a pipeline file is left out" in troubles[0]
    assert "a.toml" in troubles[0]


def test_a_name_that_is_no_text_breaks_no_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in (b"\xff.toml", b"x\nWARNING forged.toml", b"\x1b[2J.toml"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_text("name = 1")

    with caplog.at_level(logging.WARNING):
        assert [each.name for _, each in pipeline_files("sales", tmp_path)] == ["sales"]

    assert len(caplog.records) == 3
    assert all(each.message.isprintable() for each in caplog.records)
    assert "Logging error" not in capfd.readouterr().err


def test_two_files_of_one_name_are_said_and_share_their_leases(shop: Shop, tmp_path: Path) -> None:
    # Given a run of each of two files of one name, of the same date
    files = tmp_path / "files"
    files.mkdir()
    (files / "sales.toml").write_text(SALES)
    (files / "twin.toml").write_text(SALES.replace("chunk_dates = 28", "chunk_dates = 27"))
    (trouble,) = look("sales", files)[1]
    assert "are both named sales" in trouble
    shop.lose_sessions(day(11))
    plan = shop.plan()
    shop.register(plan)
    settings = shop.context.settings.model_copy(update={"pipelines": files})
    worker = Context(settings, patient=False)
    twin = next(each for each in worker.every_pipeline() if each.checksum != plan.pipeline_checksum)
    shop.context.redis.delete(f"backfill:held:{shop.context.realm}")  # as if nothing held it
    shop.register(plan.model_copy(update={"pipeline_checksum": twin.checksum}).sealed(), "twin")

    # When a step of the first is at work
    step = f"{day(11)}/sessionise"
    run = shop.ledger.require(RUN)
    held = Lease(shop.context.redis, leases_of(run, [("sessionise", day(11))]), seconds=30)
    assert held.acquire()

    # Then that of the second waits
    with pytest.raises(Requeue):
        visit(worker, "twin", step, worker="me")
    held.release()
    assert visit(worker, "twin", step, worker="me") == "succeeded"


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    found, troubles = look("sales", tmp_path / "none")

    assert [pipeline.name for _, pipeline in found] == ["sales"]
    assert troubles == [f"there is no {tmp_path / 'none'}"]


@pytest.mark.parametrize(
    ("place", "mode", "is_said"),
    [
        ("own/a.toml", 0o666, True),
        ("own", 0o777, True),
        ("own", 0o1777, False),  # as /tmp: files stay their owners'
        ("own/a.toml", 0o664, False),
    ],
)
def test_what_every_user_may_write_to_is_said(
    tmp_path: Path, place: str, mode: int, is_said: bool
) -> None:
    (tmp_path / "own").mkdir(mode=0o755)
    (tmp_path / "own/a.toml").write_text(SALES)
    (tmp_path / place).chmod(mode)

    _, troubles = look("sales", tmp_path / "own")

    assert [f"chmod o-w {tmp_path / place}" in each for each in troubles] == [True] * is_said


def test_the_doctor_says_so(mart: Mart, say: Callable[..., Done]) -> None:
    files = mart.place / "files"
    files.mkdir()
    (files / "broken.toml").write_text("name = ")
    (mart.place / "mart.toml").chmod(0o666)

    done = say("doctor", BACKFILL_PIPELINES=str(files))

    assert "! pipeline file: mart" in done.out
    assert f"chmod o-w {mart.place / 'mart.toml'}" in done.out
    assert f"! pipelines: 0 files in {files}" in done.out
    assert "broken.toml is not TOML" in done.out


@pytest.mark.parametrize("swap", [os.mkfifo, Path.mkdir, Path.touch])
def test_a_file_that_changes_between_look_and_read_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swap: Callable[[Path], object]
) -> None:
    path, read = tmp_path / "a.toml", loading.read_capped
    path.write_text(SALES.replace('name = "sales"', 'name = "other"', 1))

    def late(at: Path, limit: int) -> bytes:
        if at == path:
            path.unlink()
            swap(path)
        return read(at, limit)

    monkeypatch.setattr(loading, "read_capped", late)
    found, troubles = look("sales", tmp_path)

    assert [pipeline.name for _, pipeline in found] == ["sales"]
    assert len(troubles) == 1
