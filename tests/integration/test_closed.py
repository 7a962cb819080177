"""Files and folders that this user may not read are named as such, not as absent or a network's."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from planner.errors import BadPipeline
from planner.files import closed
from planner.pipeline.load import load_pipeline
from planner.pipeline.runners import ScriptRunner
from sql import WarehouseError
from sql.bigquery import BigQueryWarehouse
from worker.runners.script import Script

NOBODY = 65_534


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that all may look into, as pytest's own are not."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@contextmanager
def unprivileged() -> Iterator[int]:
    """As a user who is not root, as containers run; their number."""
    mine = os.geteuid()
    if mine == 0:
        os.seteuid(NOBODY)
    try:
        yield os.geteuid()
    finally:
        os.seteuid(mine)


@pytest.fixture
def folder(place: Path) -> Path:
    """A pipeline's folder that nobody but root may look into."""
    folder = place / "pipeline"
    (folder / "jobs").mkdir(parents=True)
    (folder / "my.toml").write_text("name = 'x'")
    (folder / "jobs" / "fill.py").write_text("")
    folder.chmod(0o000)
    return folder


@pytest.fixture(autouse=True)
def _opened_again(place: Path) -> Iterator[None]:
    yield
    for path in (place / "pipeline", place / "my.toml"):
        if path.exists():
            path.chmod(0o755)


def test_a_pipeline_file_in_a_closed_folder(folder: Path) -> None:
    with unprivileged() as user, pytest.raises(BadPipeline) as raised:
        load_pipeline(str(folder / "my.toml"))
    assert f"{folder} may not be read by user {user}" in str(raised.value)


def test_a_closed_pipeline_file(place: Path) -> None:
    path = place / "my.toml"
    path.write_text("name = 'x'")
    path.chmod(0o000)
    with unprivileged() as user, pytest.raises(BadPipeline) as raised:
        load_pipeline(str(path))
    assert f"{path} may not be read by user {user}" in str(raised.value)


def test_a_script_in_a_closed_folder(folder: Path) -> None:
    runner = Script(
        ScriptRunner(kind="script", command=("sh", "fill.py"), cwd=str(folder / "jobs"))
    )
    with unprivileged() as user:
        assert runner.absence(folder) == f"{folder} may not be read by user {user}"


def test_a_closed_key(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = place / "key.json"
    key.write_text("{}")
    key.chmod(0o000)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(key))
    monkeypatch.delenv("BIGQUERY_EMULATOR_HOST", raising=False)
    with unprivileged() as user, pytest.raises(WarehouseError) as raised:
        BigQueryWarehouse("p").rows("SELECT 1", {})
    assert f"{key} cannot be read by user {user}: Permission denied" in str(raised.value)


def test_what_is_open_or_not_there_is_not_closed(place: Path) -> None:
    place.chmod(0o711)  # it may be passed through, and not listed
    with unprivileged():
        assert closed(place) == ""
        assert closed(place / "absent" / "file") == ""
