"""The local warehouse: Delta Lake tables in a folder, read with DuckDB, spoken to in GoogleSQL.

Delta's log makes every write one atomic commit that any number of processes can make at once.
A query is asked of one committed version of each table: deltalake fetches the columns and rows that
it needs, and DuckDB computes over them. Statements are transpiled with sqlglot, so the same `.sql`
files run here and in BigQuery. A vacuum leaves what was replaced in the last days, a week as a
rule, so a reader's files stay where they are.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
from deltalake import DeltaTable
from sqlglot import exp

from sql.coverage import coverage_of, coverage_query
from sql.days import SUFFIX, dated, is_sharded
from sql.delta_folder import DeltaFolder
from sql.delta_log import DeltaLog
from sql.delta_reads import NOTHING, ValuedLimits, condition_of, fetch, may_hold
from sql.delta_tables import columns_of, newest_shard, shards
from sql.delta_versions import partitions_of, versions_of
from sql.dialect import bound, google_type, parse
from sql.duck import ask, values
from sql.errors import WarehouseRefused
from sql.identity import folder_identity
from sql.local_errors import refusals
from sql.local_keeping import LocalKeeper
from sql.local_writes import write
from sql.needs import Need, constants_of
from sql.query import Query, query_of, read_query
from sql.warehouse import Coverage, Parameters, Partitioning, Partitions, Table


class LocalWarehouse:
    """Delta tables below `folder`. Safe for many processes; one instance per thread."""

    records_lag_seconds = 0.0  # the log is the table
    billed = 0
    at_once = 1  # DuckDB spreads one query over the cores by itself

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser().absolute()
        self.name = f"local:{self.folder}"
        self._tables = DeltaFolder(self.folder)

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

    def bytes_to_run(self, statement: str, parameters: Parameters) -> None:
        return None

    def location(self, table: str) -> None:
        return None

    def keeper(self, *, dataset: str = "", days: int) -> LocalKeeper:
        return LocalKeeper(self._tables, days=days)

    def bytes_to_count(self, tables: Sequence[Table], start: date, end: date) -> None:
        return None

    def partitions(
        self, tables: Sequence[Table], start: date, end: date
    ) -> Mapping[str, Partitions]:
        """From Delta's log, which does not tell the days of shards."""
        return {
            table.name: Partitions(by_day=None)
            if is_sharded(table.name)
            else partitions_of(table, *self._opened(table.name), start, end)
            for table in tables
        }

    def versions(self, table: Table, start: date, end: date) -> Mapping[date, tuple[str, ...]]:
        """As `sql.delta_versions` tells them."""
        return versions_of(table, *self._opened(newest_shard(self.folder, table.name)), start, end)

    def columns(self, table: str) -> Mapping[str, str]:
        suffix = {SUFFIX: "STRING"} if is_sharded(table) else {}
        return {**columns_of(self._open(newest_shard(self.folder, table))), **suffix}

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
        project = beside.split(".")[:-2]
        folder = self.folder.joinpath(*project)
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
        answer = self._answer(query_of(tree), parameters, only_types=True)
        return {field.name: google_type(field.type) for field in answer.schema}

    def run(self, statement: str, parameters: Parameters) -> int:
        return write(
            self._tables, statement, parameters, lambda query: self._answer(query, parameters)
        )

    def vacuum(self, table: str) -> int:
        if is_sharded(table):
            return 0
        with refusals():
            opened = self._tables.open(table)
            found = opened.vacuum(dry_run=True)
            return len(opened.vacuum(dry_run=False)) if found else 0  # it commits, found or not

    def close(self) -> None:
        """Nothing to do: it reads files, and keeps none open."""

    # -- reading -----------------------------------------------------------------------------

    def _open(self, name: str) -> DeltaTable:
        return self._tables.open(name)

    def _opened(self, name: str) -> tuple[DeltaTable, DeltaLog]:
        table = self._open(name)
        return table, self._log(name, table)

    def _log(self, name: str, table: DeltaTable) -> DeltaLog:
        """The table's log, followed to the version that was opened."""
        return self._tables.log(name, table)

    def _path(self, name: str) -> Path:
        return self._tables.path(name)

    def _select(self, tree: exp.Expr, parameters: Parameters) -> pa.Table:
        return self._answer(query_of(tree), parameters)

    def _answer(
        self, query: Query, parameters: Parameters, *, only_types: bool = False
    ) -> pa.Table:
        """Run a query over the newest committed version of the tables it names."""
        given = bound(query.parameters, parameters)
        constants = values(constants_of(query.needs), given)
        tables = {
            need.shown: self._fetch(need, constants, only_types=only_types) for need in query.needs
        }
        return ask(query.sql, given, tables)

    def _fetch(self, need: Need, constants: Mapping[str, Any], *, only_types: bool) -> pa.Table:
        if "." not in need.name:
            raise WarehouseRefused(f"Table {need.name!r} has no dataset.")
        limits = [[(limit, constants[limit.value]) for limit in place] for place in need.limits]
        if is_sharded(need.name):
            return self._fetch_shards(need, limits, only_types=only_types)
        return self._rows(need.name, need, limits, only_types=only_types)

    def _fetch_shards(self, need: Need, limits: ValuedLimits, *, only_types: bool) -> pa.Table:
        """Rows of all tables that begin alike as one, as BigQuery shows them."""
        found = shards(self.folder, need.name) or [("", need.name)]  # which is not there
        needed = [suffix for suffix, _ in found if may_hold(limits, SUFFIX, suffix)]
        parts = [
            rows.append_column(SUFFIX, pa.array([suffix] * rows.num_rows, pa.string()))
            for suffix, name in found
            if suffix in needed or suffix == found[-1][0]  # of which the columns are told
            for rows in (
                self._rows(name, need, limits, only_types=only_types or suffix not in needed),
            )
        ]
        return pa.concat_tables(parts, promote_options="permissive")

    def _rows(self, name: str, need: Need, limits: ValuedLimits, *, only_types: bool) -> pa.Table:
        table = self._open(name)
        types = columns_of(table)
        asked = [each for each in types if need.columns is None or each.lower() in need.columns]
        condition = NOTHING if only_types else condition_of(limits, types)
        try:
            return fetch(table, asked or list(types)[:1], condition)
        except Exception as error:  # the engine knows no narrower one
            raise self._tables.unread(name, error) from error
