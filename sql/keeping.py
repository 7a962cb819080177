"""Keeps what tables hold on some dates before a run writes them, and puts it back.

How rows are kept differs by warehouse: `LocalKeeper` and `BigQueryKeeper`. Putting them back is one
statement per table for both, so that it is done whole or not at all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Protocol

from sql.days import PARTITION_DATE, SUFFIX, days_of
from sql.errors import WarehouseRefused
from sql.statements import load, quote_column, quote_table, without_comments
from sql.warehouse import Parameters, Scalar, Table, Warehouse


@dataclass(frozen=True, kw_only=True)
class Source:
    """A table that can be read, and holds what was kept of some dates."""

    table: Table
    days: frozenset[date]


class Keeper(Protocol):
    """How a warehouse keeps rows. Every method raises `WarehouseError`."""

    def prepare(self, tables: Sequence[Table]) -> None:
        """Make sure that rows of the tables can be kept for as long as they are to be.

        Raises `WarehouseRefused` where they cannot: nothing may be written then.
        """
        ...

    def keep(self, table: Table, days: Collection[date], run_id: str) -> Mapping[date, str]:
        """Keep what a table holds on some dates; date → the place where it is kept.

        Repeated before anything is written, it gives the same. Raises `Unsupported` where rows of
        such a table cannot be kept.
        """
        ...

    def sources(self, table: Table, places: Mapping[date, str], run_id: str) -> Sequence[Source]:
        """What to read, to read what a run kept. Raises `KeptExpired`; `WarehouseRefused` for a
        place that is not where a run keeps rows of this table."""
        ...

    def is_since(self, mark: str, noted: datetime, now: str) -> bool:
        """Whether rows whose mark was noted as `mark` were written after that."""
        ...


def whole(table: Table) -> Table:
    """A table of which all rows count, also those that the pipeline file leaves out."""
    return replace(table, where={}, key=(), filled=(), written_at=None, grades=None)


def put_back(
    warehouse: Warehouse, table: Table, sources: Iterable[Source], days: Collection[date]
) -> None:
    """Let a table hold on `days` what `sources` hold, and nothing else, by one commit."""
    statement, parameters = restore_query(warehouse, table, sources, days)
    warehouse.run(statement, parameters)


def restore_query(
    warehouse: Warehouse, table: Table, sources: Iterable[Source], days: Collection[date]
) -> tuple[str, Parameters]:
    """The statement that puts rows back. A column that is new since is NULL in them.

    Raises `WarehouseRefused` where a column that was kept is gone, or of another type.
    """
    columns = stored_columns(warehouse, table)
    values: dict[str, Scalar | Sequence[Scalar]] = {}
    parts = []
    for source in sources:
        known = stored_columns(warehouse, source.table)
        for name, kind in known.items():
            if columns.get(name) != kind:
                now = f"is {columns[name]} now" if name in columns else "is gone"
                raise WarehouseRefused(
                    f"{table.name}: column {name!r} was {kind} when the rows were kept, and {now}: "
                    "they cannot be put back as they were. Make the column as it was, then try "
                    "again."
                )
        chosen = (
            quote_column(name) if name in known else f"CAST(NULL AS {kind}) AS {quote_column(name)}"
            for name, kind in columns.items()
        )
        parts.append(
            without_comments(load("kept")).format(
                columns=", ".join(chosen),
                table=quote_table(source.table.name),
                within=within(source.table, source.days, values),
            )
        )
    if not parts:  # the dates held nothing
        name = quote_table(table.name)
        chosen_columns = ", ".join(map(quote_column, columns))
        none = without_comments(load("kept"))
        parts.append(none.format(columns=chosen_columns, table=name, within="FALSE"))
    statement = load("restore").format(
        table=quote_table(table.name),
        kept="UNION ALL\n".join(parts),
        within=within(table, days, values),
    )
    return statement, values


def rows_query(table: Table, days: Collection[date]) -> tuple[str, Parameters]:
    """The statement that reads every row of some dates."""
    values: dict[str, Scalar | Sequence[Scalar]] = {}
    statement = load("kept").format(
        columns="*", table=quote_table(table.name), within=within(table, days, values)
    )
    return statement, values


def prints(
    warehouse: Warehouse, table: Table, columns: Collection[str], days: Collection[date]
) -> Mapping[date, tuple[int, int]]:
    """Date → how many rows, and one number made of all that they hold in some columns."""
    values: dict[str, Scalar | Sequence[Scalar]] = {}
    statement = load("prints").format(
        day=days_of(table).day,
        columns=", ".join(map(quote_column, columns)),
        table=quote_table(table.name),
        within=within(table, days, values),
    )
    return {
        row["date"]: (row["row_count"], int(row["print"] or 0))
        for row in warehouse.rows(statement, values)
    }


def are_equal(
    warehouse: Warehouse, table: Table, sources: Iterable[Source], days: Collection[date]
) -> frozenset[date]:
    """Of some dates, those whose rows are as they were kept, in every column that was kept."""
    left, found = set(days), set()
    for source in sources:
        shared = source.days & left
        left -= shared
        columns = stored_columns(warehouse, source.table)
        if shared and columns.keys() <= stored_columns(warehouse, table).keys():
            kept = prints(warehouse, source.table, columns, shared)
            now = prints(warehouse, table, columns, shared)
            found |= {day for day in shared if kept.get(day) == now.get(day)}
    if left:
        now = prints(warehouse, table, [table.date], left)
        found |= {day for day in left if day not in now}
    return frozenset(found)


def within(
    table: Table, days: Collection[date], values: dict[str, Scalar | Sequence[Scalar]]
) -> str:
    """Whether a row is of one of some dates; what the condition is bound to goes into `values`.

    Consecutive dates are compared together, and with constants: partitions are told apart by it.
    """
    conditions = []
    for first, last in _spans(days):
        start, end = f"first_{len(values)}", f"last_{len(values)}"
        values[start], values[end] = first, last
        conditions.append(f"({days_of(table, f'@{start}', f'@{end}').within})")
    return " OR ".join(conditions) if conditions else "FALSE"


def _spans(days: Collection[date]) -> list[tuple[date, date]]:
    spans: list[tuple[date, date]] = []
    for day in sorted(days):
        if spans and day - spans[-1][1] == timedelta(days=1):
            spans[-1] = (spans[-1][0], day)
        else:
            spans.append((day, day))
    return spans


def stored_columns(warehouse: Warehouse, table: Table) -> dict[str, str]:
    """The columns that are stored: pseudo-columns are not."""
    return {
        name: kind
        for name, kind in warehouse.columns(table.name).items()
        if name not in (PARTITION_DATE, SUFFIX)
    }
