"""Builds a sandbox: a local warehouse that holds every phase of some box scores, without a gap."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import write_deltalake

from planner.errors import UsageError
from planner.sandbox.fill import PHASES, rebuild
from sql import load
from sql.identity import ID_FILE
from sql.local import LocalWarehouse

RAW = {
    "nba_raw.bdl_player_boxscores": "game_id",
    "nba_raw.nbac_gamebook_player_stats": "game_code",
}
"""Raw table → what it calls the game."""

# Columns of a box score that raw tables do not have.
_NOT_RAW = ["season_type", "source"]


def build(folder: Path, boxscores: pa.Table, *, until: date | None = None) -> None:
    """Fill a new warehouse in `folder`: raw as it is, then phase after phase over all dates.

    `boxscores` has the columns of `planner.sandbox.boxscores`; `until` cuts it after a date.
    Raises `UsageError` when the folder holds something or nothing is to be built, and
    `sql.WarehouseError`.
    """
    require_empty(folder)
    if until is not None:
        boxscores = boxscores.filter(pc.less_equal(boxscores["game_date"], pa.scalar(until)))
    if not boxscores.num_rows:
        raise UsageError("There are no box scores to build from.")
    folder.mkdir(parents=True, exist_ok=True)
    warehouse = LocalWarehouse(folder)
    try:
        for name in [*RAW, *(table for tables in PHASES.values() for table in tables)]:
            warehouse.run(load(f"sandbox/create/{name.rpartition('.')[2]}"), {})
        for table, game in RAW.items():
            _write_raw(folder, table, boxscores.drop_columns(_NOT_RAW), game)
        days = pc.min_max(boxscores["game_date"]).as_py()
        for phase, tables in PHASES.items():
            for name in tables:
                rebuild(warehouse, phase, name, days["min"], days["max"])
    finally:
        warehouse.close()


def require_empty(folder: Path) -> None:
    """Raises `UsageError` when a folder holds something."""
    if folder.exists() and not (folder.is_dir() and _is_empty(folder)):
        raise UsageError(f"{folder} is not empty: name a new folder.")


def _is_empty(folder: Path) -> bool:
    return all(path.name.startswith(ID_FILE) for path in folder.iterdir())


def _write_raw(folder: Path, table: str, boxscores: pa.Table, game: str) -> None:
    """Rows from outside the warehouse come in as files; there is no SQL for that."""
    names = [game if name == "game_id" else name for name in boxscores.column_names]
    schema = pa.schema(
        pa.field(field.name, pa.int64() if pa.types.is_integer(field.type) else field.type)
        for field in boxscores.rename_columns(names).schema
    )
    write_deltalake(
        folder.joinpath(*table.split(".")),
        boxscores.rename_columns(names).cast(schema),
        mode="append",
    )
