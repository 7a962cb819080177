"""Keeps rows of BigQuery by copy jobs: a partition each, into a table of a dataset of its own.

Copies are not billed as queries, and their storage is, until they expire. A run has one table of
copies for each table that it writes, so that a destination sees one change per date: BigQuery
allows 100,000 copy jobs a day in a project, and 30,000 modified partitions of a table
[https://docs.cloud.google.com/bigquery/quotas#copy_jobs]. Copies stay where their table is.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from google.api_core.exceptions import Conflict, NotFound
from google.cloud import bigquery

from sql.bigquery_catalog import Catalog
from sql.bigquery_errors import in_our_words, translated
from sql.bigquery_types import columns_of
from sql.days import PARTITION_DATE, is_sharded
from sql.errors import KeptExpired, TableNotFound, Unsupported, WarehouseRefused
from sql.keeping import Source
from sql.labels import job_labels
from sql.partitions import is_by_day
from sql.warehouse import Table

REQUEST_SECONDS = 60.0
COPY_SECONDS = 600.0
_DUPLICATE = "duplicate"


class BigQueryKeeper:
    """Copies into `dataset`; each copy expires after `days`."""

    def __init__(
        self,
        client: bigquery.Client,
        catalog: Catalog,
        *,
        labels: Mapping[str, str],
        together: Callable[[Callable[[date], None], Sequence[date]], object],
        dataset: str,
        days: int,
    ) -> None:
        self._client = client
        self._catalog = catalog
        self._labels = labels
        self._together = together
        """Copies several dates at once."""
        self._dataset = dataset
        self._days = days

    def prepare(self, tables: Sequence[Table]) -> None:
        """Raises `WarehouseRefused` where the dataset is not there, or elsewhere than a table."""
        with in_our_words(self._catalog.warehouse):
            try:
                about = self._client.get_dataset(self._dataset, timeout=REQUEST_SECONDS)
            except NotFound:
                raise WarehouseRefused(
                    f"There is no dataset {self._dataset} to keep rows in: create it in the "
                    "location of the tables, set BACKFILL_KEEP_DATASET to another, or say "
                    "--no-keep."
                ) from None
        for table in tables:
            place = self._catalog.table(table.name).location
            if place and about.location and place.lower() != about.location.lower():
                raise WarehouseRefused(
                    f"{table.name} is in {place} and {self._dataset}, where its rows are to be "
                    f"kept, in {about.location}: partitions are copied within one location alone. "
                    f"Set BACKFILL_KEEP_DATASET to a dataset in {place}, or say --no-keep."
                )

    def keep(self, table: Table, days: Collection[date], run_id: str) -> Mapping[date, str]:
        about = self._catalog.table(table.name)
        if table.date.upper() == PARTITION_DATE:
            raise Unsupported(f"{table.name} is dated by its loading, which is not put back")
        if is_sharded(table.name) or not is_by_day(about, table, columns_of(about)):
            raise Unsupported(f"{table.name} is not partitioned by the day of {table.date}")
        copy = self._copy_of(table, run_id)
        with in_our_words(self._catalog.warehouse):
            self._create(copy, about)
        self._together(lambda day: self._copy(about, copy, day), sorted(days))
        return dict.fromkeys(days, copy)

    def sources(self, table: Table, places: Mapping[date, str], run_id: str) -> Sequence[Source]:
        own = self._copy_of(table, run_id)
        forged = next((place for place in places.values() if place != own), None)
        if forged is not None:
            raise WarehouseRefused(
                f"{run_id} keeps what {table.name} held in {own}, and not in {forged}, as Redis "
                "says: Redis was changed by hand, so it is not read."
            )
        try:
            self._catalog.table(own)
        except TableNotFound:
            raise KeptExpired(
                f"{own}, which kept what {table.name} held, is there no more: it has expired. "
                "Leave these dates out with --dates, or make their rows anew."
            ) from None
        return [Source(table=replace(table, name=own), days=frozenset(places))]

    def is_since(self, mark: str, noted: datetime, now: str) -> bool:
        """By the time of the last write: the records lag, so that the mark that was noted may be
        that of before the run's own last write."""
        if mark == now:
            return False
        times = [datetime.fromisoformat(part.split(" ")[0]) for part in now.split("|") if part]
        return any(time > noted for time in times)

    def _copy_of(self, table: Table, run_id: str) -> str:
        return f"{self._dataset}.{_name(run_id, table.name)}"

    def _create(self, name: str, about: bigquery.Table) -> None:
        by = about.time_partitioning
        made = bigquery.Table(self._reference(name), schema=about.schema)
        made.time_partitioning = bigquery.TimePartitioning(type_=by.type_, field=by.field)
        made.expires = datetime.now(UTC) + timedelta(days=self._days)
        made.labels = {"app": "backfill-fleet"}
        self._client.create_table(
            made, exists_ok=True, retry=self._catalog.retry, timeout=REQUEST_SECONDS
        )

    def _copy(self, about: bigquery.Table, copy: str, day: date) -> None:
        """Copy a partition, once: what was copied before is not written over."""
        source = f"{about.project}.{about.dataset_id}.{about.table_id}${day:%Y%m%d}"
        config = bigquery.CopyJobConfig(
            write_disposition=bigquery.WriteDisposition.WRITE_EMPTY,
            labels=job_labels(self._labels),
        )
        with in_our_words(self._catalog.warehouse):
            try:
                job = self._client.copy_table(
                    source,
                    self._reference(f"{copy}${day:%Y%m%d}"),
                    job_config=config,
                    retry=self._catalog.retry,
                    timeout=REQUEST_SECONDS,
                )
                job.result(retry=self._catalog.retry, timeout=COPY_SECONDS)
            except Conflict as error:
                if not error.errors or error.errors[0].get("reason") != _DUPLICATE:
                    raise translated(self._catalog.warehouse, error) from None

    def _reference(self, name: str) -> bigquery.TableReference:
        return bigquery.TableReference.from_string(name, default_project=self._catalog.project)


def _name(run_id: str, table: str) -> str:
    """What a run's copies of a table are called: found by hand, too, when all else is lost."""
    return re.sub(r"[^A-Za-z0-9_]", "_", f"{run_id}__{table}")
