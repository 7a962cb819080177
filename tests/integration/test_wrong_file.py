"""A warehouse that holds none of the pipeline file's tables: one line, by every command."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sql import load, open_warehouse
from tests.commands import planner

TABLE = "CREATE TABLE {name} (day DATE) PARTITION BY day"
COMMANDS = [
    ("gaps",),
    ("plan",),
    ("validate",),
    ("enqueue", "--gaps", "--dry-run"),
    ("doctor",),
]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """A warehouse with a table that no file that ships names, and no BACKFILL_PIPELINE."""
    folder = f"local:{tmp_path / 'warehouse'}"
    warehouse = open_warehouse(folder)
    warehouse.run(TABLE.format(name="shop.orders"), {})
    warehouse.close()
    kept = {name: text for name, text in os.environ.items() if not name.startswith("BACKFILL_")}
    return {**kept, "BACKFILL_WAREHOUSE": folder, "BACKFILL_HOME": str(tmp_path / "home")}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_one_line_says_which_file_it_is_and_how_to_choose_another(
    command: tuple[str, ...], environment: dict[str, str], tmp_path: Path
) -> None:
    done = planner(*command, environment=environment, cwd=tmp_path)

    assert done.code == 3, done.out + done.err
    lines = (done.out if command == ("doctor",) else done.err).splitlines()
    (line,) = [line for line in lines if "tables" in line]
    assert "holds none of the 10 tables of the pipeline file 'nba'" in line
    assert (
        "set BACKFILL_PIPELINE to a file that names the tables there (nba, nba-live, nba-live-"
        in (line)
    )
    assert not any("nba_raw" in line for line in lines)


def test_one_table_that_is_there_is_enough_to_name_the_others(
    environment: dict[str, str], tmp_path: Path
) -> None:
    warehouse = open_warehouse(environment["BACKFILL_WAREHOUSE"])
    warehouse.run(load("sandbox/create/bdl_player_boxscores"), {})
    warehouse.close()

    done = planner("gaps", environment=environment, cwd=tmp_path)

    assert done.code == 3
    assert "has no table nba_raw.nbac_gamebook_player_stats" in done.err
    assert "none of" not in done.err
