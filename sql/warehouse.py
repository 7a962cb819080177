"""What the fleet asks of a warehouse, and the values it answers with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from sql.keeping import Keeper

Scalar = str | int | float | bool | date
Parameters = Mapping[str, Scalar | Sequence[Scalar]]
"""Name → value; a sequence, which may not be empty, is an ARRAY."""

EVERY_SYSTEM = "*"
"""What all graded systems together are called."""


@dataclass(frozen=True, kw_only=True, slots=True)
class GradeColumns:
    """Columns of a table whose rows say how right something was."""

    system: str
    """Who is graded."""
    error: str
    """A number: how far off it was."""
    correct: str
    """BOOL: whether it was right; NULL where that cannot be said."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """What a column has to hold so that a row counts: one of the three."""

    one_of: tuple[Scalar, ...] = ()
    """It holds one of these values of one type."""
    none_of: tuple[Scalar, ...] = ()
    """It holds none of these values of one type. NULL is none of them."""
    null: bool | None = None
    """True: it is NULL. False: it holds something."""

    def __post_init__(self) -> None:
        if sum((bool(self.one_of), bool(self.none_of), self.null is not None)) != 1:
            raise ValueError("a condition is one of one_of, none_of and null")


@dataclass(frozen=True, kw_only=True, slots=True)
class Entity:
    """What is counted in a table, where one column does not say it."""

    columns: tuple[str, ...]
    """The columns that identify it together. A row with NULL in one of them is none."""
    where: Mapping[str, Condition] = field(default_factory=dict)
    """Rows that are one, of those that count: column → what it has to hold."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Table:
    """A date-partitioned table, and what is counted in it."""

    name: str
    """`dataset.table`, or `project.dataset.table`."""
    date: str
    """The column that tells the day of a row."""
    kind: str = "DATE"
    """What that column is: DATE, DATETIME, TIMESTAMP, or the names of shards. `Warehouse.dated`
    finds out."""
    zone: str = "UTC"
    """The time zone by which a TIMESTAMP is of a day."""
    entities: Mapping[str, str | Entity] = field(default_factory=dict)
    """What is counted: the entity's name → the column that identifies it, or more of it."""
    where: Mapping[str, Condition] = field(default_factory=dict)
    """Rows that count: column → what it has to hold."""
    key: tuple[str, ...] = ()
    """Columns that tell rows apart; none: duplicates are not counted."""
    filled: tuple[str, ...] = ()
    """Columns whose values are counted."""
    written_at: str | None = None
    """A column that says when a row was written."""
    grades: GradeColumns | None = None
    """What else is summed; None: rows and entities are all that is asked."""

    @property
    def bare(self) -> Table:
        """The table, of which rows alone are counted."""
        return Table(
            name=self.name, date=self.date, kind=self.kind, zone=self.zone, where=self.where
        )

    @property
    def entity_columns(self) -> tuple[str, ...]:
        """Every column that tells entities, in order."""
        found: list[str] = []
        for each in self.entities.values():
            found += [each] if isinstance(each, str) else [*each.columns, *each.where]
        return tuple(found)


@dataclass(frozen=True, kw_only=True, slots=True)
class Grade:
    """How one system did on one date."""

    rows: int
    entities: Mapping[str, int] = field(default_factory=dict)
    """The entity's name → how many distinct ones."""
    measured: int
    """Rows with an error; the rest could not be measured."""
    error_sum: float
    judged: int
    """Rows that are right or wrong."""
    correct: int
    """Rows that are right."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """What one table holds on one date."""

    rows: int
    entities: Mapping[str, int] = field(default_factory=dict)
    """The entity's name → how many distinct ones."""
    fingerprints: Mapping[str, int] = field(default_factory=dict)
    """The entity's name → one number made of its distinct ids, in no order: sets that differ have
    different ones, but for a chance of 1 in 2^63. Comparable within one warehouse alone."""
    duplicates: int = 0
    """Rows less distinct keys; 0 where the table names no key."""
    filled: Mapping[str, int] = field(default_factory=dict)
    """Column → rows that hold a value, of the columns that are asked about."""
    written: tuple[datetime, datetime] | None = None
    """First and last `written_at` of its rows; None where the table names no such column."""
    grades: Mapping[str, Grade] = field(default_factory=dict)
    """System → how it did, and `EVERY_SYSTEM` → all of them; empty when not asked for."""


Coverage = Mapping[date, Cell]
"""One table's cells by date. A date without rows is absent."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Partitioning:
    """How a table is cut up."""

    column: str | None
    """None: it is not."""
    expires_days: float | None = None
    """After so many days a partition is deleted. None: never."""
    needs_filter: bool = False
    """Whether a query has to name the dates it reads."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Partition:
    """What the warehouse's records say of one partition."""

    rows: int
    modified: datetime
    """Its last write, UTC. A deletion may not move it [BigQuery documentation]. A rewrite of files
    that changes no row does not, where the records tell it apart: Delta's do."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Partitions:
    """What the warehouse's records say of one table: known without reading it."""

    by_day: Mapping[date, Partition] | None
    """None: not known. Of a view, of a table that is not partitioned by day by the column that it
    is counted by, and where the records lack a number."""
    undated: int = 0
    """Rows whose date is NULL: they belong to no date."""
    buffered: int = 0
    """Rows that were streamed in and are not yet in a partition; at least so many."""


class Warehouse(Protocol):
    """Where the pipeline's tables are. Every method raises `WarehouseError`."""

    at_once: int
    """How many of its methods may be called at once, from as many threads."""
    records_lag_seconds: float
    """How long after a write `versions` may still tell what was before."""

    @property
    def name(self) -> str:
        """What the user calls it: `local:DIR` or `bigquery:PROJECT`."""
        ...

    @property
    def identity(self) -> str:
        """What tells it apart from any other, however it is spelt. Compared, never parsed.

        BigQuery: `bigquery:PROJECT`. A local folder: `local:` and an id of its own, which
        `sql.identity` keeps in it; empty until `identify` makes one. Raises nothing, and asks no
        server.
        """
        ...

    @property
    def billed(self) -> int:
        """Bytes that its jobs were billed since `labelled` made it, by their own statistics."""
        ...

    def identify(self) -> str:
        """Its identity, made where it has none yet. Writes nothing else, and raises nothing."""
        ...

    def labelled(self, **labels: str) -> Self:
        """The same warehouse, whose jobs carry these labels too: `plan_id`, `phase`."""
        ...

    def cancel(self) -> None:
        """End what other threads are waiting for."""
        ...

    def dated(self, table: Table) -> Table:
        """The table with the kind of its date column, which statements about it depend on.

        Raises `WarehouseRefused` where its rows cannot be told apart by day by that column.
        """
        ...

    def coverage(self, table: Table, start: date, end: date) -> Coverage:
        """Count rows and distinct entities per date, both ends included, in one query."""
        ...

    def bytes_to_count(self, tables: Sequence[Table], start: date, end: date) -> int | None:
        """The most that `partitions` and the `coverage` of every table would be billed as.

        Asked of the warehouse, which bills nothing for it. None: counting costs nothing.
        """
        ...

    def bytes_to_run(self, statement: str, parameters: Parameters) -> int | None:
        """What a statement would be billed as, about.

        Asked of the warehouse, which bills nothing for it. None: it costs nothing. Raises
        `WarehouseRefused` where the statement itself would be refused.
        """
        ...

    def location(self, table: str) -> str | None:
        """The region that a table is in, such as `EU`; None where it has none, or none is told.

        Raises `TableNotFound`.
        """
        ...

    def partitions(
        self, tables: Sequence[Table], start: date, end: date
    ) -> Mapping[str, Partitions]:
        """What the records say of some tables, in one query per dataset.

        Raises `AccessDenied` where they may not be read.
        """
        ...

    def versions(self, table: Table, start: date, end: date) -> Mapping[date, tuple[str, ...]]:
        """An opaque text per date that changes whenever the date's rows are rewritten."""
        ...

    def columns(self, table: str) -> Mapping[str, str]:
        """Column → GoogleSQL type, pseudo-columns that tell a day too. Raises `TableNotFound`."""
        ...

    def partitioning(self, table: str) -> Partitioning:
        """How a table is partitioned. Raises `TableNotFound`."""
        ...

    def missing_rights(self, table: str) -> Sequence[str]:
        """What we may not do and have to, to replace rows of a table; empty when all is allowed.

        Changes nothing. Raises `TableNotFound`.
        """
        ...

    def tables(self, beside: str) -> Sequence[str]:
        """The tables of the project that table `beside` is in, or would be, named as it is."""
        ...

    def rows(self, statement: str, parameters: Parameters) -> Sequence[Mapping[str, Any]]:
        """Run one GoogleSQL query with bound parameters."""
        ...

    def describe(self, statement: str, parameters: Parameters) -> Mapping[str, str]:
        """Column → GoogleSQL type of what a query would answer, in order. Reads no rows.

        Raises `WarehouseRefused` where the statement is refused, or is no query.
        """
        ...

    def run(self, statement: str, parameters: Parameters) -> int:
        """Run one GoogleSQL statement that writes; how many rows it added."""
        ...

    def keeper(self, *, dataset: str = "", days: int) -> Keeper:
        """What keeps rows of its tables before they are written anew, for so many days.

        `dataset` is where copies are kept, of a warehouse that has to make copies.
        """
        ...

    def vacuum(self, table: str) -> int:
        """Remove files of a table that no version needs which its own retention keeps; how many.

        A warehouse that sees to that itself removes none.
        """
        ...

    def close(self) -> None:
        """Release connections; the warehouse is not used afterwards."""
        ...
