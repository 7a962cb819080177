"""Follows the log of a Delta table for what a snapshot of it does not tell: whence a file's rows.

A compaction (OPTIMIZE, z-order) writes the rows of some files into others and changes none. Its
actions say so: `dataChange` is false [Delta protocol, "Add File and Remove File"]. In a snapshot
its files look like newly written ones; in the log they follow from those that they replaced.

The log does not go back for ever: commits older than a checkpoint are cleaned up, after 30 days
unless the table says otherwise. A file that no commit tells of any more stands for itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sql.errors import WarehouseRefused

_COMMIT = re.compile(r"(\d{20})\.json")
_Partition = tuple[tuple[str, str | None], ...] | None
"""Column and value of each column that partitions the table; None: not told."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _File:
    """Whence the rows of one file are."""

    data: tuple[str, ...]
    """Paths of the files that the rows came in with; the file's own, where it brought them."""
    changed_ms: int | None
    """When the newest of them was committed, in milliseconds since 1970. None: not known."""
    partition: _Partition


class DeltaLog:
    """The commits of one table, each read once. Not safe for threads."""

    def __init__(self, table: Path) -> None:
        self._log = table / "_delta_log"
        self._version = -1
        """The newest commit that was read."""
        self._files: dict[str, _File] = {}
        """Path → whence its rows are; removed files too, since a RESTORE adds them again."""

    def follow(self, version: int) -> None:
        """Read the commits up to `version` that are new since the last call, as far as they exist.

        Raises `OSError`, and `WarehouseRefused` for a commit that is not JSON.
        """
        if version <= self._version:
            return
        found = (_COMMIT.fullmatch(path.name) for path in self._log.iterdir())
        for number in sorted(int(match[1]) for match in found if match):
            if self._version < number <= version:
                self._read(self._log / f"{number:020}.json")
        self._version = version

    def marks(self, path: str) -> Iterable[str]:
        """What stays while the rows of a file do: the file, and those that its rows came in with.

        The file itself is among them although it may be a compaction's: when the commits before it
        are cleaned up, it is all that is left to tell by.
        """
        return {path, *self.data(path)}

    def data(self, path: str) -> tuple[str, ...]:
        """The files that the rows of a file came in with."""
        known = self._files.get(path)
        return known.data if known else (path,)

    def changed_ms(self, path: str) -> int | None:
        """When the rows of a file were committed, in milliseconds since 1970.

        None where no commit tells of it any more.
        """
        known = self._files.get(path)
        return known.changed_ms if known else None

    def _read(self, commit: Path) -> None:
        try:
            actions = [json.loads(line) for line in commit.read_bytes().splitlines() if line]
        except FileNotFoundError:
            return  # it was cleaned up since it was listed
        except ValueError as error:
            raise WarehouseRefused(f"{commit} is not JSON: {error}") from error
        committed_ms = None
        for info in (action["commitInfo"] for action in actions if "commitInfo" in action):
            committed_ms = info.get("timestamp")
        replaced = self._replaced(action["remove"] for action in actions if "remove" in action)
        for add in (action["add"] for action in actions if "add" in action):
            self._files[add["path"]] = self._added(add, committed_ms, replaced)

    def _replaced(self, removes: Iterable[Mapping[str, Any]]) -> dict[_Partition, list[_File]]:
        """The files that a rewrite without change of data takes away, by partition."""
        by_partition: dict[_Partition, list[_File]] = {}
        for remove in removes:
            if remove.get("dataChange") is False:
                path = remove["path"]
                file = self._files.get(path) or _File(
                    data=(path,), changed_ms=None, partition=_partition(remove)
                )
                by_partition.setdefault(file.partition, []).append(file)
        return by_partition

    def _added(
        self,
        add: Mapping[str, Any],
        committed_ms: int | None,
        replaced: Mapping[_Partition, list[_File]],
    ) -> _File:
        path, partition = add["path"], _partition(add)
        known = self._files.get(path)
        own = known.data if known else (path,)
        made_ms = add["modificationTime"]
        if add.get("dataChange") is not False:
            return _File(data=own, changed_ms=committed_ms or made_ms, partition=partition)
        # A removal that names no partition may be of any.
        sources = [*replaced.get(partition, ()), *replaced.get(None, ())]
        if not sources:  # only what is known of the file changed, such as its statistics
            return known or _File(data=own, changed_ms=made_ms, partition=partition)
        times = [file.changed_ms for file in sources]
        told = [time for time in times if time is not None]
        return _File(
            data=tuple(sorted({path for file in sources for path in file.data})),
            changed_ms=max(told) if len(told) == len(times) else made_ms,
            partition=partition,
        )


def _partition(action: Mapping[str, Any]) -> _Partition:
    values = action.get("partitionValues")
    return None if values is None else tuple(sorted(values.items()))
