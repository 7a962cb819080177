"""The local warehouse: Delta Lake tables in a folder, read with DuckDB, spoken to in GoogleSQL.

A table `dataset.table` is the folder `DIR/dataset/table`. Delta's log makes every write one
atomic commit that any number of processes can make at once; DuckDB reads the files of one
committed version. Statements are transpiled with sqlglot, so the same `.sql` files run here
and in BigQuery. What is written is one of:

- `CREATE TABLE … PARTITION BY date_column`
- `MERGE … ON FALSE`, BigQuery's way to replace the rows of some dates in one commit
- `INSERT INTO … SELECT …` and `DELETE FROM … WHERE …`

Nothing is ever vacuumed, so a reader's files stay where they are.
"""

from __future__ import annotations

import os
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import duckdb
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError

from sql.coverage import coverage_of, coverage_query
from sql.errors import TableNotFound, Unsupported, WarehouseRefused, WarehouseUnreachable
from sql.statements import is_table
from sql.warehouse import Coverage, Parameters, Partitioning, Scalar, Table

T = TypeVar("T")

# sqlglot makes its dialects ready on first use; two threads that parsed at once were told
# "Expected TYPE after CAST" of a statement that is right.
_ONE_AT_A_TIME = threading.RLock()
_STYLE = re.compile("\x1b\\[[0-9;]*m")  # its messages underline for a terminal

# Writers of one table that meet at the log retry; 27 commits a second were measured with four
# writers on two cores, so a writer that lost this often has met something else.
COMMIT_TRIES = 40
COMMIT_PAUSE_SECONDS = 0.02  # first pause; doubles, with jitter
COMMIT_PAUSE_MAX_SECONDS = 1.0

_ARROW = {
    "STRING": pa.string(),
    "INT64": pa.int64(),
    "INTEGER": pa.int64(),
    "FLOAT64": pa.float64(),
    "BOOL": pa.bool_(),
    "BOOLEAN": pa.bool_(),
    "DATE": pa.date32(),
    "NUMERIC": pa.decimal128(38, 9),
    "TIMESTAMP": pa.timestamp("us", tz="UTC"),
    "ARRAY<FLOAT64>": pa.list_(pa.float64()),
    "ARRAY<STRING>": pa.list_(pa.string()),
}
_GOOGLE = {
    arrow: google for google, arrow in _ARROW.items() if google not in ("INTEGER", "BOOLEAN")
}


class LocalWarehouse:
    """Delta tables below `folder`. Safe for many processes; one instance per thread."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser().absolute()
        self.name = f"local:{self.folder}"
        self._tables: dict[str, DeltaTable] = {}
        self._shown: dict[str, int] = {}
        """Table → the version that DuckDB sees."""
        self._connection = duckdb.connect()
        self._connection.execute("SET TimeZone = 'UTC'")

    # -- what a warehouse answers ------------------------------------------------------------

    def coverage(self, table: Table, start: date, end: date) -> Coverage:
        statement, parameters = coverage_query(table, start, end)
        return coverage_of(table, self.rows(statement, parameters))

    def versions(self, table: Table, start: date, end: date) -> Mapping[date, str]:
        if table.date not in self._open(table.name).metadata().partition_columns:
            raise Unsupported(f"{table.name} is not partitioned by {table.date}.")
        actions = pa.table(self._open(table.name).get_add_actions(flatten=True))
        paths: dict[date, list[str]] = {}
        for path, day in zip(
            actions["path"].to_pylist(), actions[f"partition.{table.date}"].to_pylist(), strict=True
        ):
            if day is not None and start <= day <= end:
                paths.setdefault(day, []).append(path)
        return {day: "|".join(sorted(files)) for day, files in paths.items()}

    def columns(self, table: str) -> Mapping[str, str]:
        return _columns(self._open(table))

    def partitioning(self, table: str) -> Partitioning:
        columns = self._open(table).metadata().partition_columns
        return Partitioning(column=columns[0] if columns else None)

    def missing_rights(self, table: str) -> Sequence[str]:
        self._open(table)  # is it there?
        folder = self.folder.joinpath(*table.split("."))
        return [f"write to {path}" for path in (folder, folder / "_delta_log") if not _may(path)]

    def tables(self, beside: str) -> Sequence[str]:
        project = beside.split(".")[:-2]
        folder = self.folder.joinpath(*project)
        return sorted(
            ".".join(log.parent.relative_to(self.folder).parts)
            for log in folder.glob("*/*/_delta_log")
        )

    def rows(self, statement: str, parameters: Parameters) -> Sequence[Mapping[str, Any]]:
        rows: list[dict[str, Any]] = self._select(_parse(statement), parameters).to_pylist()
        return rows

    def run(self, statement: str, parameters: Parameters) -> int:
        tree = _parse(statement)
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

    def close(self) -> None:
        self._connection.close()

    # -- reading -----------------------------------------------------------------------------

    def _select(self, tree: exp.Expr, parameters: Parameters) -> pa.Table:
        """Run a query over the newest committed version of the tables it names."""
        tree = tree.copy()
        ctes = {cte.alias for cte in tree.find_all(exp.CTE)}
        for reference in list(tree.find_all(exp.Table)):
            if reference.db:
                self._show(_name(reference), reference)
            elif reference.name not in ctes:
                raise WarehouseRefused(f"Table {reference.name!r} has no dataset.")
        with _refusals():
            bound = {name: parameters[name] for name in _parameters(tree, parameters)}
            answer = self._connection.sql(_duckdb(tree), params=bound).to_arrow_table()
            return _google_integers(answer)

    def _show(self, name: str, reference: exp.Table) -> None:
        """Make the table's newest version visible to DuckDB under its own name."""
        table = self._open(name)
        if self._shown.get(name) == table.version():
            return
        *schema_path, view = [part.name for part in reference.parts]
        if len(schema_path) == 2:
            self._connection.execute(
                f"ATTACH IF NOT EXISTS ':memory:' AS {_quoted(schema_path[0])}"
            )
        schema = ".".join(_quoted(part) for part in schema_path)
        self._connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        columns = _columns(table)
        files = table.file_uris()
        if files:
            # Partition values are in the files' paths; the type has to be told.
            types = ", ".join(
                f"{_quoted(column)}: {_duck_type(columns[column])}"
                for column in table.metadata().partition_columns
            )
            paths = ", ".join(_text(path) for path in files)
            partitioned = f", hive_partitioning = true, hive_types = {{{types}}}" if types else ""
            source = f"read_parquet([{paths}]{partitioned})"
            body = f"SELECT {', '.join(map(_quoted, columns))} FROM {source}"
        else:
            empty = ", ".join(
                f"CAST(NULL AS {_duck_type(kind)}) AS {_quoted(column)}"
                for column, kind in columns.items()
            )
            body = f"SELECT {empty} WHERE false"
        with _refusals():  # it looks into a file
            self._connection.execute(f"CREATE OR REPLACE VIEW {schema}.{_quoted(view)} AS {body}")
        self._shown[name] = table.version()

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
            else:
                table.update_incremental()
        except TableNotFoundError:
            raise TableNotFound(f"{self.name} has no table {name}.") from None
        except (DeltaError, OSError) as error:
            self._tables.pop(name, None)
            raise WarehouseUnreachable(f"{self.name} cannot read {name}: {error}") from error
        return table

    def _path(self, name: str) -> Path:
        return self.folder.joinpath(*name.split("."))

    # -- writing -----------------------------------------------------------------------------

    def _create(self, tree: exp.Create) -> int:
        name = _name(tree.find(exp.Table))
        schema = pa.schema(
            pa.field(
                column.name,
                _arrow_type(column),
                nullable=column.find(exp.NotNullColumnConstraint) is None,
            )
            for column in tree.find_all(exp.ColumnDef)
        )
        partition = tree.find(exp.PartitionedByProperty)
        mode = "ignore" if tree.args.get("exists") else "error"
        with _refusals():
            DeltaTable.create(
                self._path(name),
                schema,
                mode=mode,  # type: ignore[arg-type]
                partition_by=[partition.this.name] if partition else None,
            )
        return 0

    def _replace(self, tree: exp.Merge, parameters: Parameters) -> int:
        on = tree.args["on"]
        whens = tree.args["whens"].expressions
        deleted = [when for when in whens if when.args.get("source") and when.args.get("condition")]
        inserted = [when for when in whens if isinstance(when.args["then"], exp.Insert)]
        if not (isinstance(on, exp.Boolean) and not on.this and len(whens) == 2):
            raise Unsupported("The local warehouse runs only MERGE … ON FALSE: it replaces dates.")
        if len(deleted) != 1 or len(inserted) != 1 or inserted[0].args["then"].this.name != "ROW":
            raise Unsupported(
                "MERGE … ON FALSE needs WHEN NOT MATCHED BY SOURCE AND … THEN DELETE "
                "and WHEN NOT MATCHED BY TARGET THEN INSERT ROW."
            )
        source = tree.args["using"]
        new = self._select(
            source.unnest() if isinstance(source, exp.Subquery) else source, parameters
        )
        gone = _literal(deleted[0].args["condition"], parameters)
        return self._write(_name(tree.this), new, predicate=gone)

    def _insert(self, tree: exp.Insert, parameters: Parameters) -> int:
        target = tree.this.this if isinstance(tree.this, exp.Schema) else tree.this
        new = self._select(tree.expression, parameters)
        if isinstance(tree.this, exp.Schema):
            new = new.rename_columns([column.name for column in tree.this.expressions])
        return self._write(_name(target), new, predicate=None)

    def _write(self, name: str, new: pa.Table, *, predicate: str | None) -> int:
        schema = pa.schema(self._open(name).schema().to_arrow())
        if missing := set(schema.names) ^ set(new.column_names):
            raise WarehouseRefused(f"{name}: columns do not match: {', '.join(sorted(missing))}.")
        with _refusals():
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
        name, gone = _name(tree.this), _literal(where.this, parameters)
        self._commit(lambda: self._open(name).delete(gone))
        return 0

    def _commit(self, write: Callable[[], T]) -> T:
        """Write, again when another writer's commit came between."""
        pause = COMMIT_PAUSE_SECONDS
        for tries_left in range(COMMIT_TRIES - 1, -1, -1):
            try:
                with _refusals():
                    return write()
            except CommitFailedError as error:
                if not tries_left:
                    raise WarehouseUnreachable(
                        f"{self.name}: {COMMIT_TRIES} commits in a row met another writer: {error}"
                    ) from error
                time.sleep(pause * random.uniform(0.5, 1.5))
                pause = min(pause * 2, COMMIT_PAUSE_MAX_SECONDS)
        raise AssertionError("unreachable")


@contextmanager
def _refusals() -> Iterator[None]:
    """Say as ours what the libraries say as theirs."""
    try:
        yield
    except CommitFailedError:
        raise
    except (duckdb.IOException, OSError) as error:
        raise WarehouseUnreachable(f"The local warehouse cannot be read: {error}") from error
    except (duckdb.Error, DeltaError, pa.ArrowException) as error:
        raise WarehouseRefused(f"The local warehouse refuses the statement: {error}") from error


def _columns(table: DeltaTable) -> dict[str, str]:
    schema = pa.schema(table.schema().to_arrow())
    return {field.name: _google_type(field.type) for field in schema}


def _may(folder: Path) -> bool:
    return os.access(folder, os.W_OK)


def _parse(statement: str) -> exp.Expr:
    try:
        with _ONE_AT_A_TIME:
            return parse_one(statement, read="bigquery")
    except SqlglotError as error:
        told = _STYLE.sub("", str(error))
        raise WarehouseRefused(f"Not one GoogleSQL statement: {told}") from error


def _duckdb(tree: exp.Expr) -> str:
    """GoogleSQL as DuckDB says it, with GoogleSQL's types.

    NUMERIC has 38 digits, 9 of them decimals, where DuckDB's has 18 and 3; `1.5` is a FLOAT64,
    where DuckDB's is a decimal.
    """

    def typed(node: exp.Expr) -> exp.Expr:
        if (
            isinstance(node, exp.DataType)
            and node.this == exp.DType.DECIMAL
            and not node.expressions
        ):
            return exp.DataType.build("DECIMAL(38, 9)", dialect="duckdb")
        if isinstance(node, exp.Literal) and not node.is_string and not node.this.isdigit():
            return exp.cast(node, "DOUBLE", dialect="duckdb")
        return node

    with _ONE_AT_A_TIME:
        return tree.transform(typed).sql(dialect="duckdb")


def _google_integers(rows: pa.Table) -> pa.Table:
    """DuckDB sums integers to 128 bits, which Arrow calls a decimal; GoogleSQL says INT64."""
    for n, column in enumerate(rows.schema):
        if pa.types.is_decimal(column.type) and column.type.scale == 0:
            rows = rows.set_column(n, column.name, rows.column(n).cast(pa.int64()))
    return rows


def _parameters(tree: exp.Expr, given: Parameters) -> set[str]:
    names = {parameter.name for parameter in tree.find_all(exp.Parameter)}
    if absent := names - set(given):
        raise WarehouseRefused(f"The statement needs the parameter @{min(absent)}.")
    return names


def _literal(condition: exp.Expr, parameters: Parameters) -> str:
    """A condition with its parameters as literals: what Delta takes as a predicate."""
    _parameters(condition, parameters)

    def bind(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Parameter):
            return _value(parameters[node.name])
        if isinstance(node, exp.Column):
            return exp.column(node.name, quoted=True)
        return node

    return _duckdb(condition.transform(bind))


def _value(value: Scalar | Sequence[Scalar]) -> exp.Expr:
    if isinstance(value, date):
        return exp.cast(exp.Literal.string(value.isoformat()), "DATE")
    return exp.convert(value)


def _name(reference: exp.Expr | None) -> str:
    if not isinstance(reference, exp.Table):
        raise Unsupported("The statement writes to no table.")
    return ".".join(part.name for part in reference.parts)


def _arrow_type(column: exp.ColumnDef) -> pa.DataType:
    written = column.args["kind"].sql(dialect="bigquery")
    try:
        return _ARROW[written]
    except KeyError:
        raise Unsupported(
            f"The local warehouse has no type {written} (column {column.name})."
        ) from None


def _google_type(arrow: pa.DataType) -> str:
    if pa.types.is_list(arrow):
        return f"ARRAY<{_google_type(arrow.value_type)}>"
    return _GOOGLE.get(arrow, str(arrow))


def _duck_type(google: str) -> str:
    with _ONE_AT_A_TIME:
        return _duckdb(exp.DataType.build(google, dialect="bigquery"))


def _quoted(identifier: str) -> str:
    return exp.to_identifier(identifier, quoted=True).sql(dialect="duckdb")


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
