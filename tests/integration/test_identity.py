"""What tells one warehouse apart from any other, however it is spelt."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from planner.pipeline.load import load_pipeline
from planner.sandbox.boxscores import generate_boxscores
from planner.sandbox.build import build
from sql.bigquery import BigQueryWarehouse
from sql.identity import ID_FILE
from sql.local import LocalWarehouse

ASK = """
import sys, time
from sql.identity import folder_identity
time.sleep(max(0.0, float(sys.argv[2]) - time.time()))
print(folder_identity(sys.argv[1], make=True))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "warehouse"
    folder.mkdir()
    return folder


def identity(folder: Path | str) -> str:
    warehouse = LocalWarehouse(folder)
    try:
        return warehouse.identify()
    finally:
        warehouse.close()


def test_a_folder_has_one_identity_however_it_is_spelt(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder.parent / "link").symlink_to(folder)
    monkeypatch.chdir(folder.parent)

    spelt = [
        folder,
        f"{folder}/",
        "warehouse",
        "./warehouse/../warehouse",
        folder.parent / "link",
    ]
    assert len({identity(spelling) for spelling in spelt}) == 1
    assert identity(folder).startswith("local:")


def test_a_folder_keeps_its_identity_where_it_is_moved_or_mounted(folder: Path) -> None:
    before = identity(folder)
    elsewhere = folder.rename(folder.parent / "elsewhere")
    assert identity(elsewhere) == before


def test_two_folders_have_two_identities(folder: Path) -> None:
    other = folder.parent / "other"
    other.mkdir()
    assert identity(folder) != identity(other)


def test_a_copy_is_another_once_its_id_is_removed(folder: Path) -> None:
    before = identity(folder)
    copy = Path(shutil.copytree(folder, folder.parent / "copy"))
    (copy / ID_FILE).unlink()
    assert identity(copy) != before
    assert identity(folder) == before


def test_the_id_may_be_read_by_every_user(folder: Path) -> None:
    mask = os.umask(0o077)
    try:
        identity(folder)
    finally:
        os.umask(mask)
    assert stat.S_IMODE((folder / ID_FILE).stat().st_mode) == 0o644
    assert [path.name for path in folder.iterdir()] == [ID_FILE]


def test_many_processes_at_once_agree(folder: Path) -> None:
    # Given eight processes that ask at the same moment for the first time
    moment = str(time.time() + 1.5)
    asking = [
        subprocess.Popen(
            [sys.executable, "-c", ASK, str(folder), moment], stdout=subprocess.PIPE, text=True
        )
        for _ in range(8)
    ]
    told = [process.communicate(timeout=30)[0].strip() for process in asking]

    # Then all are told one id, and nothing else is left in the folder
    assert len(set(told)) == 1
    assert told[0]
    assert str(folder) not in told[0]
    assert [path.name for path in folder.iterdir()] == [ID_FILE]


@pytest.mark.parametrize("content", ["", "\n", "../../etc", "0" * 4096, "\0" * 32])
def test_an_id_that_is_none_gives_the_folders_real_path(folder: Path, content: str) -> None:
    (folder / ID_FILE).write_text(content)
    (folder.parent / "link").symlink_to(folder)
    assert identity(folder.parent / "link") == f"local:{folder.resolve()}"
    assert (folder / ID_FILE).read_text() == content


def test_a_folder_that_cannot_be_written_goes_by_its_real_path(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object, **options: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)  # root may write everywhere
    (folder.parent / "link").symlink_to(folder)
    assert identity(folder.parent / "link") == f"local:{folder.resolve()}"


def test_a_folder_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    assert identity(tmp_path / "nowhere") == f"local:{(tmp_path / 'nowhere').resolve()}"
    assert not (tmp_path / "nowhere").exists()


def test_the_id_is_no_table_and_no_obstacle(folder: Path) -> None:
    # Given a folder that was asked for its identity before anything was in it
    before = identity(folder)

    # When a sandbox is built there, then the id is no obstacle
    season = load_pipeline("nba").seasons[0]
    build(folder, generate_boxscores([season], seed=7), until=season.start)
    warehouse = LocalWarehouse(folder)
    assert len(warehouse.tables("dataset.table")) > 5
    assert not any("backfill" in name for name in warehouse.tables("dataset.table"))
    assert warehouse.identity == before


def test_bigquery_is_told_apart_by_its_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", "http://127.0.0.1:1")
    warehouse = BigQueryWarehouse("nba-props")
    assert warehouse.identity == "bigquery:nba-props"
    assert warehouse.labelled(phase="grading").identity == warehouse.identity
    warehouse.close()
