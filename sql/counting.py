"""Counts many tables over all dates asked for, and looks into the warehouse's own records.

The records (BigQuery's `INFORMATION_SCHEMA.PARTITIONS`, Delta's log) tell times of writing, rows
without a date, and rows that a count does not see. BigQuery's may lag behind the rows, and miss a
table that is named in another case: so they never decide which tables and dates are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from sql.errors import AccessDenied, TableNotFound, WarehouseError, WarehouseRefused
from sql.together import together
from sql.warehouse import Coverage, Partitions, Table, Warehouse


@dataclass(frozen=True, kw_only=True)
class Counted:
    """What some tables hold, and when it was written."""

    coverage: Mapping[str, Coverage]
    """Table → cells by date."""
    modified: Mapping[str, Mapping[date, datetime]] = field(default_factory=dict)
    """Table → date → last write, UTC. A table that is not partitioned by day is absent."""
    unread: AccessDenied | None = None
    """Why the records could not be read: no times are known."""
    notes: tuple[str, ...] = ()
    """What was odd: rows that belong to no date, records that may not be read."""


def count(
    warehouse: Warehouse,
    tables: Sequence[Table],
    start: date,
    end: date,
    *,
    on_table: Callable[[str], None] = lambda table: None,
    on_error: Callable[[Table, WarehouseError], WarehouseError] = lambda table, error: error,
) -> Counted:
    """Count every table from `start` to `end`, several at once where the warehouse can.

    Records that may not be read hide no rows: the note says what is not known without them.
    Raises `WarehouseError` when any table cannot be counted; `on_error` may say it better. Raises
    `WarehouseRefused` when a table's count lacks dates that its records have rows of.
    """
    records: Mapping[str, Partitions] = {}
    unread = absent = None
    try:
        records = warehouse.partitions(tables, start, end)
    except AccessDenied as error:
        unread = error
    except TableNotFound as error:
        absent = error  # the count of that table will say so too, and `on_error` says it better

    def cells(table: Table) -> Coverage:
        on_table(table.name)
        try:
            found = warehouse.coverage(table, start, end)
        except WarehouseError as error:
            better = on_error(table, error)
            if better is error:
                raise
            raise better from error
        _check_seen(table, records.get(table.name), found)
        return found

    counts = together(
        cells,
        tables,
        at_once=warehouse.at_once,
        cancel=warehouse.cancel,
    )
    if absent is not None:
        raise absent
    return Counted(
        coverage={table.name: found for table, found in zip(tables, counts, strict=True)},
        modified={
            name: {day: part.modified for day, part in found.by_day.items() if part.rows}
            for name, found in records.items()
            if found.by_day is not None
        },
        unread=unread,
        notes=tuple(_notes(records, unread)),
    )


def _check_seen(table: Table, told: Partitions | None, found: Coverage) -> None:
    """Refuse a count that lacks dates which hold rows: they would all be called missing.

    A row access policy lets COUNT see fewer rows, without a word; the records know nothing of it.
    """
    if table.where or told is None or told.by_day is None:
        return
    unseen = sorted(day for day, part in told.by_day.items() if part.rows and day not in found)
    if unseen:
        which = str(unseen[0]) if len(unseen) == 1 else f"{unseen[0]} to {unseen[-1]}"
        raise WarehouseRefused(
            f"{table.name}: by its records {len(unseen):,} date(s) hold rows that the count does "
            f"not see ({which}). Either a row access policy hides them: grant a filter of TRUE to "
            "who counts. Or they were deleted a moment ago, and the records lag: try again."
        )


def _notes(records: Mapping[str, Partitions], unread: AccessDenied | None) -> Iterator[str]:
    for name, found in records.items():
        told = undated(found)
        if told:
            yield f"{name}: {told}"
    if unread is not None:
        yield (
            f"{unread} Until then, rows without a date and rows that a row access policy hides are "
            "not told."
        )


def undated(found: Partitions) -> str:
    """What to know of rows that no date can be told of; nothing when there are none."""
    told = []
    if found.undated:
        told.append(f"rows without a date, which count for none: {found.undated:,}")
    if found.buffered:
        told.append(
            f"rows in the streaming buffer, not yet in a partition: at least {found.buffered:,}"
        )
    return "; ".join(told)
