"""The statements that a pipeline file names: `.sql` files below its folder, and none beyond it."""

from __future__ import annotations

from pathlib import Path

import pytest

from planner.pipeline.statements import read_statement
from sql.errors import WarehouseRefused


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "pipeline"
    (folder / "below").mkdir(parents=True)
    (tmp_path / "secret.sql").write_text("SELECT 'secret'")
    (folder / "link.sql").symlink_to(tmp_path / "secret.sql")
    (folder / "up").symlink_to(tmp_path)
    (folder / "below/own.sql").write_text("SELECT 1")
    return folder


@pytest.mark.parametrize(
    "name",
    ["../secret", "{top}/secret", "below/../../secret", "link", "up/secret", "../secret.sql"],
)
def test_no_name_leads_out_of_the_folder(folder: Path, name: str) -> None:
    with pytest.raises((WarehouseRefused, ValueError)):
        read_statement(name.format(top=folder.parent), folder)


def test_one_below_is_read(folder: Path) -> None:
    assert read_statement("below/own", folder) == "SELECT 1"
