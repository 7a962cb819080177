"""The tables that were seen: one that is then not found is being recreated, not misspelt."""

from __future__ import annotations

import re
from collections.abc import Iterable

from google.cloud.bigquery import TableReference

from sql.errors import TableNotFound

_MISSING = re.compile(r"not found: table ([\w.-]+):([\w-]+\.[\w$-]+)", re.IGNORECASE)


class Seen:
    """The tables that this process saw. Safe for threads."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        """`project:dataset.table`, in small letters: a dataset may know no case."""

    def add(self, tables: Iterable[TableReference]) -> None:
        """Note that they are there."""
        for table in tables:
            self._names.add(f"{table.project}:{table.dataset_id}.{table.table_id}".lower())

    def hurried(self, error: TableNotFound) -> TableNotFound:
        """The error, without patience where it names a table that was never seen: waiting mends no
        name."""
        named = _MISSING.search(str(error))
        if named and f"{named[1]}:{named[2]}".lower() not in self._names:
            error.pause_seconds = error.patience_seconds = 0.0
        return error
