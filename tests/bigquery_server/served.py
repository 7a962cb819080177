"""The local warehouse as the server needs it: with types, partitions and bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa
from deltalake import DeltaTable
from sqlglot import exp

from sql.days import SUFFIX, is_sharded
from sql.delta_tables import newest_shard, shards
from sql.duck import ask
from sql.errors import TableNotFound, Unsupported, WarehouseRefused
from sql.local import LocalWarehouse
from sql.statements import quote_column, quote_table
from sql.warehouse import Parameters

_BY = {"DATE": "DAY", "INT64": "RANGE"}
"""Type of the column that partitions a Delta table → what the served one is partitioned by."""
_PARTITIONS = "INFORMATION_SCHEMA.PARTITIONS"
TABLES_READ = 1000  # by a query of them [BigQuery documentation]
_PARTITIONS_COLUMNS = pa.schema(
    {
        "table_catalog": pa.string(),
        "table_schema": pa.string(),
        "table_name": pa.string(),
        "partition_id": pa.string(),
        "total_rows": pa.int64(),
        "total_logical_bytes": pa.int64(),
        "last_modified_time": pa.timestamp("us", tz="UTC"),
        "storage_tier": pa.string(),
    }
)


Part = date | datetime | int | None
"""What tells one partition of a table from another."""
_PART_TYPES = {
    "HOUR": pa.timestamp("us", tz="UTC"),
    "RANGE": pa.int64(),
}
"""By granularity; of all others a DATE."""
_HOURS = "SELECT TIMESTAMP_TRUNC({by}, HOUR) AS at, COUNT(*) AS held FROM {table} GROUP BY at"


@dataclass(frozen=True, kw_only=True, slots=True)
class Partition:
    """What Delta's log says of one partition."""

    rows: int
    modified: datetime  # UTC, to the millisecond


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """How a table is laid out, and what each partition holds."""

    columns: Mapping[str, str]
    """Column → GoogleSQL type."""
    required: frozenset[str]
    """Columns that are NOT NULL."""
    partition: str | None
    """The column that partitions it: a DATE, of ranges an INT64; None for a table in one piece.
    `_PARTITIONDATE`: it is partitioned by the day of loading, and has no such column."""
    partitions: Mapping[Part, Partition]
    """By date, hour or number; a table in one piece has its only one under None."""
    created: datetime
    kind: str = "TABLE"
    """BigQuery's; of anything else there are no records of partitions."""
    granularity: str = "DAY"
    """BigQuery's: or MONTH, or HOUR; RANGE: by the numbers of a column."""
    streamed: frozenset[date] = frozenset()
    """Dates whose rows are still in the streaming buffer: found by queries, under no date in the
    records."""

    @property
    def rows(self) -> int:
        return sum(part.rows for part in self.partitions.values())

    @property
    def rows_streamed(self) -> int:
        return sum(self.partitions[day].rows for day in self.streamed)

    def partition_id(self, day: Part) -> str | None:
        """As BigQuery has it: NULL for a table in one piece, `__NULL__` for the rows without a
        date.
        """
        if self.partition is None:
            return None
        if day is None:
            return "__NULL__"
        if day in self.streamed:
            return "__UNPARTITIONED__"
        if isinstance(day, int):
            return str(day)
        if self.granularity == "HOUR":
            return f"{day:%Y%m%d%H}"
        return f"{day:%Y%m}" if self.granularity == "MONTH" else f"{day:%Y%m%d}"

    @property
    def modified(self) -> datetime:
        return max((part.modified for part in self.partitions.values()), default=self.created)


@dataclass(frozen=True, kw_only=True, slots=True)
class Shown:
    """What looks like a table, and shows the rows of another. It cannot be written."""

    kind: str
    """BigQuery's: VIEW, MATERIALIZED_VIEW, EXTERNAL or SNAPSHOT."""
    of: str
    """That other: `dataset.table`."""


class ServedWarehouse(LocalWarehouse):
    """A local warehouse that answers for one BigQuery project. One instance per thread."""

    lag = timedelta()
    """How old the records of partitions are; tables.get and counts are of now."""
    known = datetime.min.replace(tzinfo=UTC)
    """What was there by then is in the records, however they lag."""
    shown: Mapping[str, Shown] = MappingProxyType({})
    """`dataset.table` → what it is, of all that is no table."""
    by_hour: Mapping[str, str] = MappingProxyType({})
    """`dataset.table` → the TIMESTAMP that partitions it by hour, which Delta cannot. Any write
    moves the time of every hour."""

    def resolved(self, tree: exp.Expr, project: str) -> exp.Expr:
        """`tree` with its tables named as their folders are: `d.t` and `project.d.t` are one."""
        tree = tree.copy()
        for reference in tree.find_all(exp.Table):
            if not reference.db or reference.name.upper().startswith("INFORMATION_SCHEMA."):
                continue
            name = self.folder_name(".".join(part.name for part in reference.parts), project)
            if shown := self.shown.get(name):
                if isinstance(reference.parent, exp.Merge | exp.Insert | exp.Delete):
                    raise WarehouseRefused(
                        f"Using table {project}:{name} is not allowed for this operation because "
                        f"of its type {shown.kind}"
                    )
                name = shown.of
            parts = name.split(".")
            reference.set("this", exp.to_identifier(parts[-1], quoted=True))
            if len(parts) == 2:
                reference.set("catalog", None)
            else:
                reference.set("catalog", exp.to_identifier(parts[0], quoted=True))
        return tree

    def folder_name(self, name: str, project: str) -> str:
        """The table's name here: with the project only where its folder is there."""
        own = name.removeprefix(f"{project}.")
        for candidate in (name, own, f"{project}.{own}" if own.count(".") == 1 else own):
            if candidate in self.shown or self._path(candidate).joinpath("_delta_log").is_dir():
                return candidate
            if is_sharded(candidate) and shards(self.folder, candidate):
                return candidate
        return name

    def named(self, project: str) -> list[tuple[str, str]]:
        """Dataset and table of all that answers for `project`."""
        found = {*self.tables("dataset.table"), *self.tables(f"{project}.dataset.table")}
        found |= self.shown.keys()
        return sorted({(name.split(".")[-2], name.split(".")[-1]) for name in found})

    def table(self, tree: exp.Expr, parameters: Parameters) -> pa.Table:
        """Run a query; unlike `rows`, with the types of its columns."""
        return self._select(tree, parameters)

    def layout(self, name: str) -> Layout:
        """Raises `TableNotFound`. Of tables in shards, which are read as one, that of the last."""
        if is_sharded(name):
            last = self.layout(newest_shard(self.folder, name))
            return replace(last, columns={**last.columns, SUFFIX: "STRING"})
        if shown := self.shown.get(name):
            return replace(self.layout(shown.of), kind=shown.kind, partition=None)
        return self._laid_out(name, self._open(name))

    def _past(self, name: str) -> Layout:
        """As the records tell it: as it was a while ago."""
        if not self.lag:
            return self.layout(name)
        self._log(name, self._open(name))  # its commits tell when the rows were written
        table = DeltaTable(self._path(name))
        until = max(datetime.now(UTC) - self.lag, self.known).timestamp() * 1000
        commits = [commit for commit in table.history() if commit["timestamp"] <= until]
        table.load_as_version(max((commit["version"] for commit in commits), default=0))
        return self._laid_out(name, table)

    def _laid_out(self, name: str, table: DeltaTable) -> Layout:
        columns = self.columns(name)
        fields = pa.schema(table.schema().to_arrow())
        by = next(
            (each for each in table.metadata().partition_columns if columns[each] in _BY), None
        )
        found: dict[Part, Partition] = {}
        log = self._log(name, table)
        for action in pa.table(table.get_add_actions(flatten=True)).to_pylist():
            day = action[f"partition.{by}"] if by else None
            old = found.get(day)
            changed_ms = log.changed_ms(action["path"]) or action["modification_time"]
            modified = datetime.fromtimestamp(changed_ms / 1000, UTC)
            found[day] = Partition(
                rows=action["num_records"] + (old.rows if old else 0),
                modified=max(modified, old.modified) if old else modified,
            )
        created = table.metadata().created_time or 0
        layout = Layout(
            columns=columns,
            required=frozenset(field.name for field in fields if not field.nullable),
            partition=by,
            partitions=found,
            created=datetime.fromtimestamp(created / 1000, UTC),
            granularity=_BY[columns[by]] if by else "DAY",
        )
        return self._hourly(name, layout) if name in self.by_hour else layout

    def _hourly(self, name: str, layout: Layout) -> Layout:
        by = self.by_hour[name]
        hours = self.rows(_HOURS.format(by=quote_column(by), table=quote_table(name)), {})
        parts = {row["at"]: Partition(rows=row["held"], modified=layout.modified) for row in hours}
        return replace(layout, partition=by, partitions=parts, granularity="HOUR")

    def rows_where(self, layout: Layout, condition: exp.Expr, parameters: Parameters) -> int:
        """How many rows are in the partitions for which `condition` holds. It names no column
        but the one that partitions the table.
        """
        assert layout.partition is not None
        partitions = pa.table(
            {
                layout.partition: pa.array(
                    list(layout.partitions), _PART_TYPES.get(layout.granularity, pa.date32())
                ),
                "partition_rows": pa.array(
                    [part.rows for part in layout.partitions.values()], pa.int64()
                ),
            }
        )
        condition = condition.copy()
        for column in condition.find_all(exp.Column):
            column.set("table", None)
        tree = exp.select("partition_rows").from_("layout").where(condition)
        return sum(self.ask(tree, parameters, layout=partitions)["partition_rows"].to_pylist())

    def about_partitions(self, tree: exp.Expr, parameters: Parameters, project: str) -> pa.Table:
        """Answer a query over `INFORMATION_SCHEMA.PARTITIONS` from Delta's log."""
        tree = tree.copy()
        references = [table for table in tree.find_all(exp.Table) if table.db]
        if len(references) != 1 or references[0].name.upper() != _PARTITIONS:
            raise Unsupported(f"A query over {_PARTITIONS} can name no other table here.")
        [reference] = references
        dataset = self._dataset([part.name for part in reference.parts[:-1]], project)
        if len(list(dataset.iterdir())) > TABLES_READ and not _names_tables(tree):
            raise WarehouseRefused(
                f"{_PARTITIONS} query attempted to read too many tables. Please add more "
                "restrictive filters."
            )
        rows = [
            {
                "table_catalog": project,
                "table_schema": dataset.name,
                "table_name": folder.parent.name,
                "partition_id": layout.partition_id(day),
                "total_rows": part.rows,
                "total_logical_bytes": part.rows * len(layout.columns) * 8,
                "last_modified_time": part.modified,
                "storage_tier": "ACTIVE",
            }
            for folder in sorted(dataset.glob("*/_delta_log"))
            for layout in [self._past(".".join(folder.parent.relative_to(self.folder).parts))]
            if layout.kind == "TABLE"
            for day, part in layout.partitions.items()
        ]
        alias = reference.alias or "PARTITIONS"
        reference.replace(exp.to_table("partitions_view").as_(alias))
        return self.ask(
            tree, parameters, partitions_view=pa.Table.from_pylist(rows, _PARTITIONS_COLUMNS)
        )

    def _dataset(self, parts: list[str], project: str) -> Path:
        own = parts[1:] if parts[0] == project else parts
        for candidate in (
            self.folder.joinpath(*parts),
            self.folder.joinpath(*own),
            self.folder.joinpath(project, *own),
        ):
            if candidate.is_dir():
                return candidate
        raise TableNotFound(f"Not found: Dataset {project}:{own[-1]} was not found")

    def ask(self, tree: exp.Expr, parameters: Parameters, **tables: pa.Table) -> pa.Table:
        """Run a query over Arrow tables."""
        names = {parameter.name for parameter in tree.find_all(exp.Parameter)}
        if absent := names - set(parameters):
            raise WarehouseRefused(f"Query parameter '{min(absent)}' not found")
        return ask(tree.sql("duckdb"), {name: parameters[name] for name in names}, tables)


def _names_tables(tree: exp.Expr) -> bool:
    """Whether a query picks tables by bare names: what is computed is compared too late."""
    return any(
        isinstance(each.this, exp.Column) and each.this.name == "table_name"
        for each in tree.find_all(exp.In, exp.EQ)
    )
