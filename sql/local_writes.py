"""Statements that write Delta tables, each in one commit:

- `CREATE TABLE … PARTITION BY date_column`
- `MERGE … ON FALSE`, BigQuery's way to replace the rows of some dates in one commit
- `INSERT INTO … SELECT …` and `DELETE FROM … WHERE …`
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError
from sqlglot import exp

from sql.delta_folder import DeltaFolder
from sql.dialect import arrow_type, literal, parse, replacement_of, table_name
from sql.errors import Unsupported, WarehouseRefused, WarehouseUnreachable
from sql.local_errors import refusals
from sql.query import Query, query_of
from sql.warehouse import Parameters

# Writers of one table that meet at the log retry; 27 commits a second were measured with four
# writers on two cores, so a writer that lost this often has met something else.
COMMIT_TRIES = 40
COMMIT_PAUSE_SECONDS = 0.02  # first pause; doubles, with jitter
COMMIT_PAUSE_MAX_SECONDS = 1.0

_COMPARISONS = (exp.EQ, exp.NEQ, exp.GT, exp.GTE, exp.LT, exp.LTE, exp.Between)

Select = Callable[[Query], pa.Table]
"""Answers a query."""


class Statement(NamedTuple):
    """A statement, and the query whose rows it writes, translated."""

    tree: exp.Expr
    source: Query | None


@lru_cache(maxsize=256)
def read_write(statement: str) -> Statement:
    """A GoogleSQL statement, read once per process: steps run the same over and over."""
    tree = parse(statement)
    match tree:
        case exp.Merge():
            source, _ = replacement_of(tree)
            source = source.unnest() if isinstance(source, exp.Subquery) else source
            return Statement(tree, query_of(source))
        case exp.Insert():
            return Statement(tree, query_of(tree.expression))
    return Statement(tree, None)


def write(tables: DeltaFolder, statement: str, parameters: Parameters, select: Select) -> int:
    """Run a statement that writes: how many rows it added. Raises `WarehouseError`."""
    tree, source = read_write(statement)
    match tree:
        case exp.Create():
            return _create(tables, tree)
        case exp.Merge() if source:
            gone = literal(_with_moments(replacement_of(tree)[1], select), parameters)
            return _add(tables, table_name(tree.this), select(source), gone)
        case exp.Insert() if source:
            return _insert(tables, tree, select(source))
        case exp.Delete():
            return _delete(tables, tree, parameters, select)
    raise Unsupported(
        f"The local warehouse does not run {tree.key.upper()}: "
        "write CREATE TABLE, MERGE … ON FALSE, INSERT … SELECT or DELETE … WHERE."
    )


def _create(tables: DeltaFolder, tree: exp.Create) -> int:
    name = table_name(tree.find(exp.Table))
    schema = pa.schema(
        pa.field(
            column.name,
            arrow_type(column),
            nullable=column.find(exp.NotNullColumnConstraint) is None,
        )
        for column in tree.find_all(exp.ColumnDef)
    )
    partition = tree.find(exp.PartitionedByProperty)
    with refusals():
        DeltaTable.create(
            tables.path(name),
            schema,
            mode="ignore" if tree.args.get("exists") else "error",
            partition_by=[partition.this.name] if partition else None,
        )
    return 0


def _insert(tables: DeltaFolder, tree: exp.Insert, new: pa.Table) -> int:
    target = tree.this
    if isinstance(target, exp.Schema):
        new = new.rename_columns([column.name for column in target.expressions])
        target = target.this
    return _add(tables, table_name(target), new, None)


def _add(tables: DeltaFolder, name: str, new: pa.Table, gone: str | None) -> int:
    """Add rows, and with a condition take away those that fulfil it."""
    schema = pa.schema(tables.open(name).schema().to_arrow())
    if missing := set(schema.names) ^ set(new.column_names):
        raise WarehouseRefused(f"{name}: columns do not match: {', '.join(sorted(missing))}.")
    with refusals():
        rows = new.select(schema.names).cast(schema)

    def add(table: DeltaTable) -> None:
        if gone is None:
            write_deltalake(table, rows, mode="append")
        else:
            write_deltalake(table, rows, mode="overwrite", predicate=gone)

    commit(tables, name, add)
    return int(rows.num_rows)


def _delete(tables: DeltaFolder, tree: exp.Delete, parameters: Parameters, select: Select) -> int:
    where = tree.args.get("where")
    if where is None:
        raise Unsupported("DELETE needs a WHERE.")
    gone = literal(_with_moments(where.this, select), parameters)
    commit(tables, table_name(tree.this), lambda table: table.delete(gone))
    return 0


def _with_moments(condition: exp.Expr, select: Select) -> exp.Expr:
    """A condition whose constant moments are values of the type that Delta's columns have: its
    engine counts in nanoseconds else, and compares them with no column."""
    condition = condition.copy()
    for compared in list(condition.find_all(*_COMPARISONS)):
        for side, constant in compared.args.items():
            if not isinstance(constant, exp.Expr) or constant.find(exp.Column, exp.Query):
                continue
            if isinstance(constant, exp.Literal | exp.Parameter):
                continue  # a parameter is no moment
            query = query_of(exp.select(exp.alias_(constant.copy(), "value")))
            value = select(query)["value"][0].as_py()
            if isinstance(value, datetime):
                compared.set(side, _moment(value))
    return condition


def _moment(value: datetime) -> exp.Expr:
    zone = 'Some("UTC")' if value.tzinfo else "None"
    if value.tzinfo:
        value = value.astimezone(UTC)
    kind = f"Timestamp(Microsecond, {zone})"
    return exp.func("arrow_cast", *map(exp.Literal.string, (value.isoformat(" "), kind)))


def commit(tables: DeltaFolder, name: str, make: Callable[[DeltaTable], object]) -> None:
    """Write, again when another writer's commit came between."""
    pause = COMMIT_PAUSE_SECONDS
    for tries_left in range(COMMIT_TRIES - 1, -1, -1):
        table = tables.open(name)
        try:
            with refusals():
                make(table)
            break
        except CommitFailedError as error:
            if not tries_left:
                raise WarehouseUnreachable(
                    f"local:{tables.folder}: {COMMIT_TRIES} commits in a row met another writer: "
                    f"{error}"
                ) from error
            time.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(pause * 2, COMMIT_PAUSE_MAX_SECONDS)
    tables.wrote(name)
