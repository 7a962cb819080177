"""What BigQuery tells of datasets and tables, for nothing: described, listed, located, and whether
they may be written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from google.cloud import bigquery

from sql.bigquery_answers import tables_of
from sql.bigquery_errors import in_our_words
from sql.bigquery_jobs import REQUEST_TIMEOUT_SECONDS, patient
from sql.bigquery_seen import Seen
from sql.bigquery_types import columns_of
from sql.days import SUFFIX, is_sharded
from sql.errors import AccessDenied, TableNotFound, WarehouseError
from sql.partitions import partitioning_of, pseudo_columns
from sql.statements import quote_table
from sql.warehouse import Partitioning

# What a MERGE, an INSERT or a load job into a table asks for; roles/bigquery.dataEditor has them.
WRITE_RIGHTS = ("bigquery.tables.getData", "bigquery.tables.updateData")


class Catalog:
    """The datasets and tables that a client sees. Safe for threads.

    warehouse: what errors call it.
    retry_seconds: how long an unreachable or overloaded BigQuery is asked again.
    """

    def __init__(
        self, client: bigquery.Client, warehouse: str, *, project: str, retry_seconds: float
    ) -> None:
        self.warehouse = warehouse
        self.project = project
        self.seen = Seen()
        self._client = client
        self._retry_seconds = retry_seconds
        self._locations: dict[str, str] = {}
        """Dataset, or `region-eu` → where it is: no dataset moves."""

    @property
    def retry(self) -> Any:
        """The client's own retries, for as long as is worth it."""
        return patient(self._retry_seconds)

    def table(self, name: str) -> bigquery.Table:
        """A table's description. Raises `WarehouseError`."""
        quote_table(name)  # refuses what is no name
        with in_our_words(self.warehouse):
            about = self._client.get_table(name, retry=self.retry, timeout=REQUEST_TIMEOUT_SECONDS)
        self.seen.add([about.reference])
        if about.location:
            self._locations[name.rpartition(".")[0]] = about.location
            self._locations[f"region-{about.location.lower()}"] = about.location  # of its records
        return about

    def columns(self, table: str) -> Mapping[str, str]:
        """Column → type, as every warehouse."""
        about = self.table(table)
        pseudo = {SUFFIX: "STRING"} if is_sharded(table) else pseudo_columns(about)
        return {**columns_of(about), **pseudo}

    def partitioning(self, table: str) -> Partitioning:
        """How a table is partitioned, as every warehouse."""
        if is_sharded(table):
            return Partitioning(column=SUFFIX)
        return partitioning_of(self.table(table))

    def missing_rights(self, table: str) -> Sequence[str]:
        """What it takes to write a table, and these credentials may not."""
        quote_table(table)  # refuses what is no name
        where = bigquery.TableReference.from_string(table, default_project=self.project)
        with in_our_words(self.warehouse):
            answer = self._client.test_iam_permissions(
                where, WRITE_RIGHTS, retry=self.retry, timeout=REQUEST_TIMEOUT_SECONDS
            )
        held = answer.get("permissions", ())  # absent when there is none
        return [right for right in WRITE_RIGHTS if right not in held]

    def tables(self, beside: str) -> Sequence[str]:
        """The tables of a table's project that may be listed."""
        quote_table(beside)  # refuses what is no name
        project = ".".join(beside.split(".")[:-2])
        prefix = f"{project}." if project else ""
        options: dict[str, Any] = {"retry": self.retry, "timeout": REQUEST_TIMEOUT_SECONDS}
        found: list[str] = []
        with in_our_words(self.warehouse):
            datasets = list(self._client.list_datasets(project or self.project, **options))
        for dataset in datasets:
            with suppress(AccessDenied, TableNotFound), in_our_words(self.warehouse):
                for table in self._client.list_tables(dataset.reference, **options):
                    found.append(f"{prefix}{table.dataset_id}.{table.table_id}")
        return sorted(found)

    def location(self, table: str) -> str | None:
        """Where a table is; None where BigQuery does not tell."""
        return self._locations.get(table.rpartition(".")[0]) or self.table(table).location

    def location_of(self, statement: str) -> str | None:
        """Where a statement's tables are, by the first of them that tells."""
        for dataset, table in tables_of(statement).items():
            if table and dataset not in self._locations:
                with suppress(WarehouseError):  # the statement itself is refused for it
                    self.table(table)
            if dataset in self._locations:
                return self._locations[dataset]
        return None
