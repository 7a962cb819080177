"""The local warehouse: Delta Lake tables in a folder, read with DuckDB, spoken to in GoogleSQL.

A table `dataset.table` is the folder `DIR/dataset/table`. Delta's log makes every write one
atomic commit that any number of processes can make at once; DuckDB reads the files of one
committed version. Statements are transpiled with sqlglot, so the same `.sql` files run here
and in BigQuery. What is written is one of:

- `CREATE TABLE … PARTITION BY date_column`
- `MERGE … ON FALSE`, BigQuery's way to replace the rows of some dates in one commit
- `INSERT INTO … SELECT …` and `DELETE FROM … WHERE …`
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Self, TypeVar

import duckdb
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from sqlglot import exp

from sql.coverage import coverage_of, coverage_query
from sql.days import SUFFIX, dated, is_sharded
from sql.delta_log import DeltaLog
from sql.delta_tables import columns_of, has_dates, is_by_date, newest_shard, shards
from sql.dialect import (
    Query,
    arrow_type,
    bound,
    duck_type,
    google_integers,
    google_type,
    literal,
    parse,
    query_of,
    quoted,
    read_query,
    replacement_of,
    table_name,
    table_of,
    text,
)
from sql.errors import TableNotFound, Unsupported, WarehouseRefused, WarehouseUnreachable
from sql.identity import folder_identity
from sql.local_errors import refusals
from sql.local_keeping import LocalKeeper
from sql.statements import is_table
from sql.warehouse import Coverage, Parameters, Partition, Partitioning, Partitions, Table

T = TypeVar("T")

# Writers of one table that meet at the log retry; 27 commits a second were measured with four
# writers on two cores, so a writer that lost this often has met something else.
COMMIT_TRIES = 40
COMMIT_PAUSE_SECONDS = 0.02  # first pause; doubles, with jitter
COMMIT_PAUSE_MAX_SECONDS = 1.0


class LocalWarehouse:
    """Delta tables below `folder`. Safe for many processes; one instance per thread."""

    records_lag_seconds = 0.0  # the log is the table
    billed = 0
    at_once = 1  # DuckDB spreads one query over the cores by itself

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser().absolute()
        self.name = f"local:{self.folder}"
        self._tables: dict[str, DeltaTable] = {}
        self._logs: dict[str, DeltaLog] = {}
        self._fixed: set[str] = set()  # at the version that they were opened at
        self._shown: dict[str, int] = {}  # table → the version that DuckDB sees
        self._connection = duckdb.connect()
        self._connection.execute("SET TimeZone = 'UTC'")
        # DuckDB's own hash in its place: fingerprints are compared within one warehouse alone.
        self._connection.execute(
            "CREATE TEMP MACRO farm_fingerprint(value) AS CAST(hash(value) >> 1 AS BIGINT)"
        )

    @property
    def identity(self) -> str:
        """`local:` and the id of the folder, which moves and mounts leave as it is; its path where
        there is no such folder."""
        known = folder_identity(self.folder) if self.folder.is_dir() else str(self.folder)
        return f"local:{known}" if known else ""

    def identify(self) -> str:
        return f"local:{folder_identity(self.folder, make=True)}"

    def labelled(self, **labels: str) -> Self:
        return self  # its jobs are not billed

    def cancel(self) -> None:
        """Nothing to do: one thread asks, and an interrupt of it ends its query."""

    # -- what a warehouse answers ------------------------------------------------------------

    def coverage(self, table: Table, start: date, end: date) -> Coverage:
        statement, parameters = coverage_query(self.dated(table), start, end)
        return coverage_of(table, self.rows(statement, parameters))

    def dated(self, table: Table) -> Table:
        return dated(table, self.columns)

    def bytes_to_count(self, tables: Sequence[Table], start: date, end: date) -> None:
        return None

    def bytes_to_run(self, statement: str, parameters: Parameters) -> None:
        return None

    def partitions(
        self, tables: Sequence[Table], start: date, end: date
    ) -> Mapping[str, Partitions]:
        return {table.name: self._partitions(table, start, end) for table in tables}

    def _partitions(self, table: Table, start: date, end: date) -> Partitions:
        """From Delta's log, which does not tell the rows of files that came without statistics."""
        if is_sharded(table.name):
            return Partitions(by_day=None)
        opened = self._open(table.name)
        actions = pa.table(opened.get_add_actions(flatten=True)).to_pylist()
        if not is_by_date(opened, table) or any(
            action.get("num_records") is None for action in actions
        ):
            return Partitions(by_day=None)
        log = self._log(table.name, opened)
        by_day: dict[date, Partition] = {}
        undated = 0
        for action in actions:
            day, rows = action[f"partition.{table.date}"], action["num_records"]
            if day is None:
                undated += rows
            elif start <= day <= end:
                changed_ms = log.changed_ms(action["path"]) or action["modification_time"]
                modified = datetime.fromtimestamp(changed_ms / 1000, UTC)
                old = by_day.get(day)
                by_day[day] = Partition(
                    rows=rows + (old.rows if old else 0),
                    modified=max(modified, old.modified) if old else modified,
                )
        return Partitions(by_day=by_day, undated=undated)

    def versions(self, table: Table, start: date, end: date) -> Mapping[date, tuple[str, ...]]:
        """A mark per file that rows of the date came in with, and per file that they are in now.

        A compaction carries the marks of the files that it replaces; a deletion that copies what it
        keeps does not, since it says that it changed data.
        """
        opened = self._open(newest_shard(self.folder, table.name))
        if not has_dates(opened, table):
            raise Unsupported(
                f"{table.name} is not partitioned by {table.date}, so nothing tells when the rows "
                "of a date were written anew: counts alone decide there."
            )
        log = self._log(table.name, opened)
        actions = pa.table(opened.get_add_actions(flatten=True))
        marks: dict[date, set[str]] = {}
        for path, day in zip(
            actions["path"].to_pylist(), actions[f"partition.{table.date}"].to_pylist(), strict=True
        ):
            if day is not None and start <= day <= end:
                marks.setdefault(day, set()).update(log.marks(path))
        return {day: tuple(sorted(marks[day])) for day in sorted(marks)}

    def columns(self, table: str) -> Mapping[str, str]:
        found = columns_of(self._open(newest_shard(self.folder, table)))
        return found | {SUFFIX: "STRING"} if is_sharded(table) else found

    def partitioning(self, table: str) -> Partitioning:
        if is_sharded(table):
            return Partitioning(column=SUFFIX)
        columns = self._open(table).metadata().partition_columns
        return Partitioning(column=columns[0] if columns else None)

    def missing_rights(self, table: str) -> Sequence[str]:
        self._open(table)  # is it there?
        folder = self._path(table)
        return [
            f"write to {path}"
            for path in (folder, folder / "_delta_log")
            if not os.access(path, os.W_OK)
        ]

    def tables(self, beside: str) -> Sequence[str]:
        folder = self.folder.joinpath(*beside.split(".")[:-2])
        return sorted(
            ".".join(log.parent.relative_to(self.folder).parts)
            for log in folder.glob("*/*/_delta_log")
        )

    def rows(self, statement: str, parameters: Parameters) -> Sequence[Mapping[str, Any]]:
        rows: list[dict[str, Any]] = self._answer(read_query(statement), parameters).to_pylist()
        return rows

    def describe(self, statement: str, parameters: Parameters) -> Mapping[str, str]:
        tree = parse(statement)
        if not isinstance(tree, exp.Query):
            raise WarehouseRefused(f"it is {tree.key.upper()}, and has to be a SELECT.")
        return {
            field.name: google_type(field.type)
            for field in self._select(
                exp.select("*").from_(tree.subquery("answer")).limit(0), parameters
            ).schema
        }

    def run(self, statement: str, parameters: Parameters) -> int:
        tree = parse(statement)
        match tree:
            case exp.Create():
                return self._create(tree)
            case exp.Merge():
                return self._replace(tree, parameters)
            case exp.Insert():
                return self._insert(tree, parameters)
            case exp.Delete():
                return self._delete(tree, parameters)
        raise Unsupported(
            f"The local warehouse does not run {tree.key.upper()}: "
            "write CREATE TABLE, MERGE … ON FALSE, INSERT … SELECT or DELETE … WHERE."
        )

    def keeper(self, *, dataset: str = "", days: int) -> LocalKeeper:
        return LocalKeeper(self, days=days)

    def close(self) -> None:
        self._connection.close()

    # -- reading -----------------------------------------------------------------------------

    def _select(self, tree: exp.Expr, parameters: Parameters) -> pa.Table:
        return self._answer(query_of(tree), parameters)

    def _answer(self, query: Query, parameters: Parameters) -> pa.Table:
        """Run a query over the newest committed version of the tables it names."""
        for reference in query.tables:
            if not reference.db:
                raise WarehouseRefused(f"Table {reference.name!r} has no dataset.")
            name = table_name(reference)
            show = self._show_shards if is_sharded(name) else self._show
            show(name, reference)
        with refusals():
            values = bound(query.parameters, parameters)
            return google_integers(self._connection.sql(query.sql, params=values).to_arrow_table())

    def _show(self, name: str, reference: exp.Table) -> None:
        """Make the table's newest version visible to DuckDB under its own name."""
        table = self._open(name)
        if self._shown.get(name) == table.version():
            return
        *schema_path, view = [part.name for part in reference.parts]
        if len(schema_path) == 2:
            self._connection.execute(f"ATTACH IF NOT EXISTS ':memory:' AS {quoted(schema_path[0])}")
        schema = ".".join(quoted(part) for part in schema_path)
        self._connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        columns = columns_of(table)
        files = table.file_uris()
        if files:
            # Partition values are in the files' paths; the type has to be told.
            types = ", ".join(
                f"{quoted(column)}: {duck_type(columns[column])}"
                for column in table.metadata().partition_columns
            )
            paths = ", ".join(text(path) for path in files)
            partitioned = f", hive_partitioning = true, hive_types = {{{types}}}" if types else ""
            source = f"read_parquet([{paths}]{partitioned})"
            body = f"SELECT {', '.join(map(quoted, columns))} FROM {source}"
        else:
            empty = ", ".join(
                f"CAST(NULL AS {duck_type(kind)}) AS {quoted(column)}"
                for column, kind in columns.items()
            )
            body = f"SELECT {empty} WHERE false"
        with refusals():  # it looks into a file
            self._connection.execute(f"CREATE OR REPLACE VIEW {schema}.{quoted(view)} AS {body}")
        self._shown[name] = table.version()

    def _show_shards(self, name: str, reference: exp.Table) -> None:
        """Make all tables that begin alike visible as one, as BigQuery does."""
        parts = []
        for suffix, shard in shards(self.folder, name) or [("", name)]:  # which is not there
            self._show(shard, table := table_of(shard))
            parts.append(f"SELECT {text(suffix)} AS {SUFFIX}, * FROM {table.sql('duckdb')}")
        view = f"CREATE OR REPLACE VIEW {reference.sql('duckdb', identify=True)}"
        with refusals():
            self._connection.execute(f"{view} AS {' UNION ALL BY NAME '.join(parts)}")

    def _open(self, name: str) -> DeltaTable:
        """The table at its newest committed version."""
        if not is_table(name):
            raise WarehouseRefused(f"{name!r} is not a table's name: write `dataset.table`.")
        if not self.folder.is_dir():
            raise WarehouseUnreachable(
                f"There is no warehouse in {self.folder}: "
                "set BACKFILL_WAREHOUSE, or build one with `planner sandbox build DIR`."
            )
        try:
            table = self._tables.get(name)
            if table is None:
                table = self._tables[name] = DeltaTable(self._path(name))
                self._logs[name] = DeltaLog(self._path(name))
            elif name not in self._fixed:
                table.update_incremental()
        except TableNotFoundError:
            raise TableNotFound(f"{self.name} has no table {name}.") from None
        except (DeltaError, OSError) as error:
            self._tables.pop(name, None)
            raise WarehouseUnreachable(f"{self.name} cannot read {name}: {error}") from error
        return table

    def _log(self, name: str, table: DeltaTable) -> DeltaLog:
        """The table's log, followed to the version that was opened."""
        with refusals():
            self._logs[name].follow(table.version())
        return self._logs[name]

    def _path(self, name: str) -> Path:
        return self.folder.joinpath(*name.split("."))

    # -- writing -----------------------------------------------------------------------------

    def _create(self, tree: exp.Create) -> int:
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
                self._path(table_name(tree.find(exp.Table))),
                schema,
                mode="ignore" if tree.args.get("exists") else "error",
                partition_by=[partition.this.name] if partition else None,
            )
        return 0

    def _replace(self, tree: exp.Merge, parameters: Parameters) -> int:
        source, condition = replacement_of(tree)
        new = self._select(
            source.unnest() if isinstance(source, exp.Subquery) else source, parameters
        )
        return self._write(table_name(tree.this), new, predicate=literal(condition, parameters))

    def _insert(self, tree: exp.Insert, parameters: Parameters) -> int:
        target = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
        new = self._select(tree.expression, parameters)
        if isinstance(tree.this, exp.Schema):
            new = new.rename_columns([column.name for column in tree.this.expressions])
        return self._write(table_name(target), new, predicate=None)

    def _write(self, name: str, new: pa.Table, *, predicate: str | None) -> int:
        schema = pa.schema(self._open(name).schema().to_arrow())
        if missing := set(schema.names) ^ set(new.column_names):
            raise WarehouseRefused(f"{name}: columns do not match: {', '.join(sorted(missing))}.")
        with refusals():
            rows = new.select(schema.names).cast(schema)
        self._commit(
            lambda: write_deltalake(
                self._path(name),
                rows,
                mode="overwrite" if predicate else "append",  # type: ignore[call-overload]
                predicate=predicate,
            )
        )
        return int(rows.num_rows)

    def _delete(self, tree: exp.Delete, parameters: Parameters) -> int:
        where = tree.args.get("where")
        if where is None:
            raise Unsupported("DELETE needs a WHERE.")
        name, gone = table_name(tree.this), literal(where.this, parameters)
        self._commit(lambda: self._open(name).delete(gone))
        return 0

    def _commit(self, write: Callable[[], T]) -> T:
        """Write, again when another writer's commit came between."""
        pause = COMMIT_PAUSE_SECONDS
        for tries_left in range(COMMIT_TRIES - 1, -1, -1):
            try:
                with refusals():
                    return write()
            except CommitFailedError as error:
                if not tries_left:
                    raise WarehouseUnreachable(
                        f"{self.name}: {COMMIT_TRIES} commits in a row met another writer: {error}"
                    ) from error
                time.sleep(pause * random.uniform(0.5, 1.5))
                pause = min(pause * 2, COMMIT_PAUSE_MAX_SECONDS)
        raise AssertionError("unreachable")
