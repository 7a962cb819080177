"""Delta tables in a folder: their columns, and those that one name stands for.

`dataset.events_*` stands for `events_20260301`, `events_20260302` and so on.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable

from sql.days import is_sharded, kind_of
from sql.dialect import google_type
from sql.warehouse import Table


def columns_of(table: DeltaTable) -> dict[str, str]:
    """Column → GoogleSQL type."""
    schema = pa.schema(table.schema().to_arrow())
    return {field.name: google_type(field.type) for field in schema}


def date_partition(table: DeltaTable, asked: Table) -> str | None:
    """The column that makes each partition hold rows of one date: the DATE that they are counted
    by. None: there is no such column, and a partition may hold any dates."""
    if kind_of(asked, columns_of(table)) != "DATE":
        return None
    columns = table.metadata().partition_columns
    return next((each for each in columns if each.lower() == asked.date.lower()), None)


def shards(folder: Path, name: str) -> list[tuple[str, str]]:
    """Suffix and name of each table that `name` stands for, in order. Suffixes are any text."""
    *above, prefix = name.removesuffix("*").split(".")
    found = sorted(
        log.parent.name
        for log in folder.joinpath(*above).glob("*/_delta_log")
        if log.parent.name.startswith(prefix)
    )
    return [(shard.removeprefix(prefix), ".".join((*above, shard))) for shard in found]


def newest_shard(folder: Path, name: str) -> str:
    """The last of the tables that `name` stands for, whose columns are those of all of them.

    The name itself where it stands for one table, and where there is no such table.
    """
    found = shards(folder, name) if is_sharded(name) else []
    return found[-1][1] if found else name
