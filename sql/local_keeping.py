"""Keeps rows of the local warehouse by Delta's time travel: nothing is copied, so it is free.

The rows of a date stay in the files of the version that held them until a VACUUM removes those: the
table's retention properties forbid that, which every writer of Delta tables obeys.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from urllib.parse import unquote

import pyarrow as pa
from deltalake import DeltaTable

from sql.days import is_sharded
from sql.delta_folder import DeltaFolder
from sql.delta_tables import date_partition
from sql.errors import KeptExpired, Unsupported, WarehouseError, WarehouseRefused
from sql.keeping import Source
from sql.local_errors import refusals
from sql.local_writes import commit
from sql.warehouse import Table

FILES_FOR = "delta.deletedFileRetentionDuration"
LOG_FOR = "delta.logRetentionDuration"
_DEFAULT_DAYS = {FILES_FOR: 7, LOG_FOR: 30}
"""Without a property of the table [Delta protocol]."""
_VERSION = re.compile("[0-9]{1,18}")
HOURS = {"hour": 1, "day": 24, "week": 168}


class LocalKeeper:
    """Notes versions. `days`: for how long files that were replaced are held back."""

    def __init__(self, tables: DeltaFolder, *, days: int) -> None:
        self._tables = tables
        self._days = days

    def prepare(self, tables: Sequence[Table]) -> None:
        for table in tables:
            if is_sharded(table.name):
                continue
            opened = self._tables.open(table.name)
            try:
                if date_partition(opened, table):
                    self._hold(table.name, opened)
            except WarehouseError as error:
                raise WarehouseRefused(
                    f"{table.name} cannot be told to hold back its files, so its rows could not be "
                    f"put back ({error}). Let the planner write to it, or say --no-keep."
                ) from error

    def keep(self, table: Table, days: Collection[date], run_id: str) -> Mapping[date, str]:
        if is_sharded(table.name):
            raise Unsupported(f"{table.name} stands for several tables")
        opened = self._tables.open(table.name)
        if not date_partition(opened, table):
            raise Unsupported(f"{table.name} is not partitioned by {table.date}")
        self._hold(table.name, opened)
        return dict.fromkeys(days, str(opened.version()))

    def sources(self, table: Table, places: Mapping[date, str], run_id: str) -> Sequence[Source]:
        """The oldest version that has a date's files stands for the others: most often, for all."""
        none = next((place for place in places.values() if not _VERSION.fullmatch(place)), None)
        if none is not None:
            raise WarehouseRefused(
                f"{none!r} is no version of {table.name}, so nothing tells what was kept of it."
            )
        versions = sorted({int(place) for place in places.values()})
        files = {version: self._files(table, version, places) for version in versions}
        read: dict[int, set[date]] = {}
        for day, place in places.items():
            version, oldest = int(place), versions[0]
            same = files[oldest].get(day) == files[version].get(day)
            read.setdefault(oldest if same else version, set()).add(day)
        folder = self._tables.path(table.name)
        for version, days in read.items():
            held = files[version]
            gone = [
                day
                for day in days
                if not all((folder / file).exists() for file in held.get(day, ()))
            ]
            if gone:
                raise KeptExpired(_expired(table.name, version, gone))
        return [
            Source(
                table=replace(table, name=self._tables.fix(table.name, version)),
                days=frozenset(days),
            )
            for version, days in read.items()
        ]

    def is_since(self, mark: str, noted: datetime, now: str) -> bool:
        return mark != now

    def _hold(self, name: str, opened: DeltaTable) -> None:
        """Set the table's retention, so that no VACUUM removes files or commits that are kept."""
        told = opened.metadata().configuration
        short = {
            key: f"interval {self._days} days"
            for key, default in _DEFAULT_DAYS.items()
            if _days(told.get(key), default) < self._days
        }
        if short:
            commit(self._tables, name, lambda table: table.alter.set_table_properties(short))

    def _files(
        self, table: Table, version: int, days: Collection[date]
    ) -> dict[date, frozenset[str]]:
        """Date → the files of its rows in a version. Raises `KeptExpired`."""
        found: dict[date, set[str]] = {}
        try:
            with refusals():
                opened = DeltaTable(self._tables.path(table.name), version=version)
                by = date_partition(opened, table)
                for action in pa.table(opened.get_add_actions(flatten=True)).to_pylist():
                    day = action[f"partition.{by}"]
                    if day in days:
                        found.setdefault(day, set()).add(unquote(action["path"]))
        except WarehouseRefused as error:
            raise KeptExpired(_expired(table.name, version, days)) from error
        return {day: frozenset(paths) for day, paths in found.items()}


def _expired(name: str, version: int, days: Collection[date]) -> str:
    dates = ", ".join(map(str, sorted(days)))
    return (
        f"What {name} held in version {version} is kept no more, of {dates}: its files were "
        "removed. Leave those dates out with --dates, or make their rows anew."
    )


def _days(interval: str | None, default: float) -> float:
    """`interval 2 weeks` in days; what is written otherwise is left as it is."""
    if interval is None:
        return default
    words = interval.lower().removeprefix("interval").split()
    try:
        number, unit = float(words[0]), words[1].rstrip("s")
        return number * HOURS[unit] / 24
    except (ValueError, IndexError, KeyError):
        return float("inf")
