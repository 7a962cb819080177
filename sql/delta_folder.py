"""The Delta tables of a folder, each kept open: `dataset.table` is the folder `DIR/dataset/table`.

A table is opened once, and followed from commit to commit. Commits are numbered without a gap and
never change [Delta protocol], so a table is at its newest version when there is no next commit,
and is another one when the commit that it was read up to is no longer the file that it was.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from sql.delta_log import DeltaLog
from sql.errors import TableNotFound, WarehouseError, WarehouseRefused, WarehouseUnreachable
from sql.local_errors import refusals
from sql.statements import is_table

_UNSUPPORTED = ("unsupported", "not supported", "catalog-managed")
"""What deltalake's errors say of a table that needs what it cannot do."""


@dataclass(kw_only=True, slots=True)
class _Held:
    """A table that is open."""

    path: Path
    table: DeltaTable
    log: DeltaLog
    commit: tuple[int, ...] | None = field(init=False)
    """What tells the file of the newest commit from any other; None: it is not there."""

    def __post_init__(self) -> None:
        self.note()

    def note(self) -> None:
        """Remember which file the newest commit is."""
        self.commit = self._file(self.table.version())

    def is_there(self) -> bool:
        """Whether it is still the same table: it was not dropped and recreated."""
        return self.commit is not None and self.commit == self._file(self.table.version())

    def is_newest(self) -> bool:
        return self._file(self.table.version() + 1) is None

    def _file(self, version: int) -> tuple[int, ...] | None:
        with suppress(FileNotFoundError, NotADirectoryError):
            found = os.stat(self.path / "_delta_log" / f"{version:020}.json")
            return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns
        return None


class DeltaFolder:
    """Opens tables at their newest committed version. Not safe for threads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._held: dict[str, _Held] = {}
        self._fixed: dict[str, DeltaTable] = {}
        """Tables that stay at one version, under names that no folder has."""

    def path(self, name: str) -> Path:
        return self.folder.joinpath(*name.split("."))

    def open(self, name: str) -> DeltaTable:
        """The table at its newest committed version. Raises `WarehouseError`."""
        if not is_table(name):
            raise WarehouseRefused(f"{name!r} is not a table's name: write `dataset.table`.")
        if not self.folder.is_dir():
            raise WarehouseUnreachable(
                f"There is no warehouse in {self.folder}: "
                "set BACKFILL_WAREHOUSE, or build one with `planner sandbox build DIR`."
            )
        if name in self._fixed:
            return self._fixed[name]
        try:
            return self._opened(name)
        except TableNotFoundError:
            self._held.pop(name, None)
            raise TableNotFound(f"local:{self.folder} has no table {name}.") from None
        except (DeltaError, OSError) as error:
            self._held.pop(name, None)
            raise self.unread(name, error) from error

    def fix(self, name: str, version: int) -> str:
        """The name by which statements read what a table held at a version."""
        fixed = f"kept.{name.replace('.', '__')}__v{version}"
        if fixed not in self._fixed:
            with refusals():
                self._fixed[fixed] = DeltaTable(self.path(name), version=version)
        return fixed

    def log(self, name: str, table: DeltaTable) -> DeltaLog:
        """The log of a table, followed to the version that it was opened at."""
        log = self._held[name].log
        with refusals():
            log.follow(table.version())
        return log

    def wrote(self, name: str) -> None:
        """Take the commit that was just made through the table that is open for its newest."""
        self._held[name].note()

    def unread(self, name: str, error: Exception) -> WarehouseError:
        """What it means that a table cannot be read: nothing that passes where it needs what
        deltalake cannot do."""
        if any(word in str(error).lower() for word in _UNSUPPORTED):
            return WarehouseRefused(
                f"local:{self.folder}: {name} was written with features of Delta Lake that are not "
                f"supported here, so its rows cannot be told: {error}. Write it without them, or "
                "drop the feature there (ALTER TABLE … DROP FEATURE)."
            )
        return WarehouseUnreachable(f"local:{self.folder} cannot read {name}: {error}")

    def _opened(self, name: str) -> DeltaTable:
        held = self._held.get(name)
        if held is None or not held.is_there():
            path = self.path(name)
            held = _Held(path=path, table=DeltaTable(path), log=DeltaLog(path))
            self._held[name] = held
        elif not held.is_newest():
            held.table.update_incremental()
            held.note()
        return held.table
