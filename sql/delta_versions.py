"""What the log of a Delta table tells of its dates: rows, times of writing, and versions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from sql.delta_log import DeltaLog
from sql.delta_tables import date_partition
from sql.warehouse import Partition, Partitions, Table

_MARK_CHARS = 32  # 128 bits


def versions_of(
    asked: Table, table: DeltaTable, log: DeltaLog, start: date, end: date
) -> Mapping[date, tuple[str, ...]]:
    """A mark per file that rows of the date came in with, and per file that they are in now.

    A compaction carries the marks of the files that it replaces; a deletion that copies what it
    keeps does not, since it says that it changed data. Where no partition holds rows of one date,
    every date has one mark, of the whole table: any write gives another.
    """
    files = pa.table(table.get_add_actions(flatten=True))
    column = date_partition(table, asked)
    if column is None:
        days = [start + timedelta(days=n) for n in range((end - start).days + 1)]
        return dict.fromkeys(days, (_version(files, log),))
    marks: dict[date, set[str]] = {}
    for path, day in _of(files, column, start, end, "path"):
        marks.setdefault(day, set()).update(log.marks(path))
    return {day: tuple(sorted(marks[day])) for day in sorted(marks)}


def partitions_of(
    asked: Table, table: DeltaTable, log: DeltaLog, start: date, end: date
) -> Partitions:
    """Rows and times of each date. Not known where no partition holds rows of one date, where files
    came without statistics, and where rows are deleted and their files stay."""
    column = date_partition(table, asked)
    files = pa.table(table.get_add_actions(flatten=True))
    if column is None or files["num_records"].null_count or _has_deletions(table):
        return Partitions(by_day=None)
    by_day: dict[date, Partition] = {}
    told = ("path", "num_records", "modification_time")
    for path, rows, made_ms, day in _of(files, column, start, end, *told):
        modified = datetime.fromtimestamp((log.changed_ms(path) or made_ms) / 1000, UTC)
        old = by_day.get(day)
        by_day[day] = Partition(
            rows=rows + (old.rows if old else 0),
            modified=max(modified, old.modified) if old else modified,
        )
    without = files.filter(pc.is_null(files[f"partition.{column}"]))
    return Partitions(by_day=by_day, undated=pc.sum(without["num_records"]).as_py() or 0)


def _of(files: pa.Table, column: str, start: date, end: date, *told: str) -> Iterator[Any]:
    """What is told of each file of some dates, and its date last."""
    days = files[f"partition.{column}"]
    first, last = (pa.scalar(day, pa.date32()) for day in (start, end))
    some = files.filter(pc.and_(pc.greater_equal(days, first), pc.less_equal(days, last)))
    columns = [some[each].to_pylist() for each in (*told, f"partition.{column}")]
    return zip(*columns, strict=True)


def _version(files: pa.Table, log: DeltaLog) -> str:
    """What changes with every write: the files that rows came in with, and the newest's time."""
    paths = files["path"].to_pylist()
    data = sorted({each for path in paths for each in log.data(path)})
    changed = [log.changed_ms(path) or 0 for path in paths]
    told = "\n".join((*data, str(max(changed, default=0))))
    return hashlib.sha256(told.encode()).hexdigest()[:_MARK_CHARS]


def _has_deletions(table: DeltaTable) -> bool:
    """Whether any file has rows that count no more: a deletion vector tells which."""
    features = table.protocol().reader_features or ()
    return "deletionVectors" in features and bool(pa.table(table.deletion_vectors().read_all()))
