"""Reads what BigQuery's records say of partitions: `tables.get`, and `partitions.sql`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

from google.cloud import bigquery

from sql.days import PARTITION_DATE, is_utc_day, kind_of
from sql.statements import load, quote_table
from sql.warehouse import Parameters, Partition, Partitioning, Partitions, Table

# Rows whose date is NULL. Every other id that begins with `__` holds rows whose dates are not
# told yet: `__UNPARTITIONED__` those of the streaming buffer.
_UNDATED = "__NULL__"
_DAY_MS = 86_400_000


def pseudo_columns(about: bigquery.Table) -> dict[str, str]:
    """The pseudo-column that tells the day of a row, of a table partitioned by day of loading.

    BigQuery has it of no other table, nor where such a table is partitioned by hour, month or year.
    """
    by = about.time_partitioning
    is_daily = by is not None and by.type_ == bigquery.TimePartitioningType.DAY and not by.field
    return {PARTITION_DATE: "DATE"} if is_daily else {}


def partitioning_of(about: bigquery.Table) -> Partitioning:
    """How a table is partitioned: by time, by a range of integers, or, an external one, by folders.

    `_PARTITIONTIME` stands for the moment of loading, where no pseudo-column tells the day of it.
    """
    if by_time := about.time_partitioning:
        expires = by_time.expiration_ms
        return Partitioning(
            column=by_time.field or next(iter(pseudo_columns(about)), "_PARTITIONTIME"),
            expires_days=expires / _DAY_MS if expires else None,
            needs_filter=bool(about.require_partition_filter),
        )
    if by_range := about.range_partitioning:
        return Partitioning(
            column=by_range.field, needs_filter=bool(about.require_partition_filter)
        )
    outside = about.external_data_configuration
    folders = outside.hive_partitioning if outside else None
    if folders is not None:
        fields = folders.to_api_repr().get("fields") or (None,)
        return Partitioning(column=fields[0], needs_filter=bool(folders.require_partition_filter))
    return Partitioning(column=None)


def is_partitioned_by(about: bigquery.Table, column: str) -> bool:
    """Whether a table is partitioned by the hours, days, months or years of `column`."""
    by = about.time_partitioning
    if by is None:
        return False
    return (by.field or next(iter(pseudo_columns(about)), "")).lower() == column.lower()


def is_by_day(about: bigquery.Table, table: Table, columns: Mapping[str, str]) -> bool:
    """Whether the records tell the rows of each date of `table`, of which `columns` are.

    A partition by day of a TIMESTAMP is a day of UTC, and none of another time zone.
    Not of views, materialized views, snapshots and external tables, though the tables that they
    are made from may be partitioned by day.
    """
    by = about.time_partitioning
    return (
        about.table_type == "TABLE"
        and by is not None
        and by.type_ == bigquery.TimePartitioningType.DAY
        and is_partitioned_by(about, table.date)
        and is_utc_day(replace(table, kind=kind_of(table, columns)))
    )


def records_query(
    names: Sequence[str], start: date, end: date, *, exact: bool = False
) -> tuple[str, Parameters]:
    """`partitions.sql` and its parameters, of tables of one dataset; `exact`: by their names as
    they are, which BigQuery can pick by among thousands of tables.
    """
    shorts = [name.rpartition(".")[2] for name in names]
    named = "table_name" if exact else "LOWER(table_name)"
    return load("partitions").format(dataset=quote_dataset(names[0]), named=named), {
        "table_names": shorts if exact else [short.lower() for short in shorts],
        "first_partition": start.isoformat()[:4],
        "last_partition": end.strftime("%Y%m%d23"),
    }


def rows_of(name: str, rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those of `partitions.sql`'s rows that are of table `name`.

    In a case-insensitive dataset a table answers to any case of its name, and is recorded under
    the one that it was made with.
    """
    exact = [row for row in rows if row["table_name"] == name]
    return exact or [row for row in rows if row["table_name"].lower() == name.lower()]


def by_day(
    about: bigquery.Table, rows: Sequence[Mapping[str, Any]], start: date, end: date
) -> Partitions:
    """One daily table's records, the answer of `partitions.sql`.

    A number of rows that is NULL is not known, and no zero: then nothing is known by day.
    """
    told: dict[date, Partition] = {}
    undated = buffered = 0
    is_known = True
    for row in rows:
        partition, held = row["partition_id"], row["total_rows"]
        if held is None:
            is_known = False
        elif partition == _UNDATED:
            undated += held
        elif partition.startswith("__"):
            buffered += max(held, 1)  # it is there because something is in it
        elif len(partition) == len("YYYYMMDD"):
            day = datetime.strptime(partition, "%Y%m%d").replace(tzinfo=UTC).date()
            if start <= day <= end:
                told[day] = Partition(rows=held, modified=row["last_modified_time"])
    if about.streaming_buffer is not None:
        # The table's description may know of a buffer before the records do. Its number of rows
        # is a lower bound, and may be absent.
        buffered = max(buffered, about.streaming_buffer.estimated_rows or 1)
    return Partitions(by_day=told if is_known else None, undated=undated, buffered=buffered)


def partitions_of(day: date) -> Iterator[str]:
    """The ids that the partitions of `day` can have, by granularity: year, month, day, hour."""
    digits = day.isoformat().replace("-", "")
    yield from (digits[:4], digits[:6], digits)
    yield from (f"{digits}{hour:02}" for hour in range(24))


def version_of(modified: datetime | None, rows: int | None) -> str:
    """What changes whenever a partition's rows are rewritten."""
    return f"{modified.isoformat() if modified else 'never'} {rows}"


def versions_of(
    held: Mapping[date, Iterable[date]], rows: Iterable[Mapping[str, Any]]
) -> dict[date, tuple[str, ...]]:
    """Date → one mark of all partitions that its rows are in, from the answer of `partitions.sql`:
    what is written need not be in each of them. `held`: date → the days of UTC that it is in.
    """
    written = {
        row["partition_id"]: version_of(row["last_modified_time"], row["total_rows"])
        for row in rows
    }
    found = {
        day: tuple(
            written[partition]
            for utc_day in utc_days
            for partition in partitions_of(utc_day)
            if partition in written
        )
        for day, utc_days in held.items()
    }
    return {day: ("|".join(versions),) for day, versions in found.items() if versions}


def quote_dataset(table: str) -> str:
    """The dataset that `table` is in, as GoogleSQL writes it.

    Raises `WarehouseRefused` if `table` is no table's name.
    """
    quote_table(table)
    return ".".join(f"`{part}`" for part in table.split(".")[:-1])
