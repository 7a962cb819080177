"""BigQuery as a warehouse, through Google's own client.

Credentials: application-default ones, or anonymous ones when `BIGQUERY_EMULATOR_HOST`
names another server (`tests.bigquery_server` is one). Every job carries labels, a limit on
the bytes it may bill and a time limit; values reach it as typed query parameters only.

What is asked again: 503, rate limits and lost connections, by the client's own rules and never
longer than `retry_seconds`; a table that is not found, once. Other refusals are not. What becomes
of jobs is in `sql.bigquery_jobs`, what tables are is in `sql.bigquery_catalog`.
"""

from __future__ import annotations

import copy
import os
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, timedelta
from types import MappingProxyType
from typing import Any, Self, TypeVar

from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from google.cloud.bigquery.job import QueryJob

from sql.bigquery_answers import all_rows
from sql.bigquery_catalog import Catalog
from sql.bigquery_errors import in_our_words
from sql.bigquery_jobs import Jobs
from sql.bigquery_keeping import BigQueryKeeper
from sql.bigquery_types import columns_of, google_type, parameter_of
from sql.billing import MAXIMUM_BYTES_BILLED, MINIMUM_BYTES_BILLED, Meter, billed_bytes
from sql.coverage import coverage_of, coverage_query
from sql.days import dated, is_sharded, kind_of, utc_days
from sql.errors import AccessDenied, TableNotFound, Unsupported, WarehouseRefused
from sql.labels import APP, job_labels
from sql.partitions import (
    by_day,
    is_by_day,
    is_partitioned_by,
    records_query,
    rows_of,
    version_of,
    versions_of,
)
from sql.together import together
from sql.warehouse import (
    Coverage,
    Parameters,
    Partitioning,
    Partitions,
    Table,
)

JOB_TIMEOUT_SECONDS = 600.0  # a recount takes seconds; a repair in SQL a few minutes
RETRY_SECONDS = 120.0  # for 503, rate limits and lost connections; a step is retried above us

# Below the ten connections that the client's HTTP pool keeps.
AT_ONCE = 6
# The server ends the job at its time limit; we wait a little longer to hear it say so.
_GRACE_SECONDS = 30.0

A = TypeVar("A")
T = TypeVar("T")

RECORDS_LAG_SECONDS = 90.0  # INFORMATION_SCHEMA.PARTITIONS promises no freshness
_NO_LABELS: Mapping[str, str] = MappingProxyType({})


class BigQueryWarehouse:
    """The tables of `project`, and of other projects when a name says so.

    location: where jobs run that read no table, such as `EU`; others run where their tables are.
    labels: put on every job beside `app=backfill-fleet`, made valid when they are not.
    maximum_bytes_billed: a job that would bill more is refused, and costs nothing.
    job_timeout_seconds: BigQuery ends a job that runs longer, and so do we.
    retry_seconds: how long an unreachable or overloaded BigQuery is asked again.

    Safe for threads. Raises `WarehouseUnreachable` when there are no credentials.
    """

    at_once = AT_ONCE
    records_lag_seconds = RECORDS_LAG_SECONDS

    def __init__(
        self,
        project: str,
        *,
        location: str | None = None,
        labels: Mapping[str, str] = _NO_LABELS,
        maximum_bytes_billed: int = MAXIMUM_BYTES_BILLED,
        job_timeout_seconds: float = JOB_TIMEOUT_SECONDS,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self.project = project
        self.name = f"bigquery:{project}"
        self._labels = dict(labels)
        self._meter = Meter()
        self._location = location
        self._kinds: dict[tuple[str, str], str] = {}
        """Table and date column → its kind; shared with what `labelled` gives."""
        emulator = os.environ.get("BIGQUERY_EMULATOR_HOST")
        if emulator and "://" not in emulator:
            emulator = f"http://{emulator}"
        with in_our_words(self.name):
            self._client = bigquery.Client(
                project=project,
                credentials=AnonymousCredentials() if emulator else None,  # type: ignore[no-untyped-call]
                client_options={"api_endpoint": emulator} if emulator else None,
                default_query_job_config=bigquery.QueryJobConfig(
                    maximum_bytes_billed=maximum_bytes_billed,
                    job_timeout_ms=int(job_timeout_seconds * 1000),
                    # A recount asks what is there now. The cache answers of streamed rows late.
                    use_query_cache=False,
                ),
            )
        self.catalog = Catalog(
            self._client, self.name, project=project, retry_seconds=retry_seconds
        )
        """Shared with what `labelled` gives."""
        self._jobs = Jobs(
            self._client,
            self.name,
            retry_seconds=retry_seconds,
            wait_seconds=job_timeout_seconds + _GRACE_SECONDS,
        )

    @property
    def identity(self) -> str:
        return f"bigquery:{self.project}"

    def identify(self) -> str:
        """Its identity, which needs no making."""
        return self.identity

    def labelled(self, **labels: str) -> Self:
        """As every warehouse. The label `job` begins the ids of its jobs: what one with the same
        began is waited for, and not begun again."""
        other = copy.copy(self)
        other._labels = self._labels | labels
        if labels.keys() != {"job"}:  # one job of its owner's is billed with the others
            other._meter = Meter()
        return other

    # -- what a warehouse answers ------------------------------------------------------------

    def coverage(self, table: Table, start: date, end: date) -> Coverage:
        try:
            statement, parameters = coverage_query(self.dated(table), start, end)
            return coverage_of(table, self.rows(statement, parameters))
        except WarehouseRefused:
            self._kinds.pop((table.name, table.date), None)  # the table may have been recreated
            raise

    def dated(self, table: Table) -> Table:
        column = (table.name, table.date)
        if column not in self._kinds:
            try:
                self._kinds[column] = dated(table, self.columns).kind
            except AccessDenied:  # it may not be described: the count of it refuses what is no DATE
                return table
        return replace(table, kind=self._kinds[column])

    def versions(self, table: Table, start: date, end: date) -> Mapping[date, tuple[str, ...]]:
        """One mark: the time of the last write and the number of rows, of each date's partition.

        Any write of the partition gives another, an append by another job too: BigQuery does not
        tell whose it was. Partitions by month or year give their dates one mark. A table
        partitioned by something else than `table.date`, or not at all, gives every date the whole
        table's. Deletions may not move the time [BigQuery documentation], hence the rows.
        """
        about = self.catalog.table(table.name)
        if about.table_type != "TABLE":
            kind = str(about.table_type).lower().replace("_", " ")
            raise Unsupported(
                f"{self.name}: {table.name} is a {kind}, of which BigQuery does not tell when its "
                "rows changed: counts alone decide there. Name the table it reads instead."
            )
        days = [start + timedelta(days=i) for i in range((end - start).days + 1)]
        if is_sharded(table.name) or not is_partitioned_by(about, table.date):
            version = version_of(about.modified, about.num_rows)
            return dict.fromkeys(days, (version,))
        table = replace(table, kind=kind_of(table, columns_of(about)))
        held = {day: utc_days(table, day) for day in days}  # each partition is of days in UTC
        records = self._records([table.name], held[start][0], held[end][-1])
        return versions_of(held, rows_of(table.name.rpartition(".")[2], records))

    def partitions(
        self, tables: Sequence[Table], start: date, end: date
    ) -> Mapping[str, Partitions]:
        """As every warehouse. Which column partitions a table is asked of tables.get, which is
        free; views, and tables partitioned by month or by something else, are not in the answer
        of the one query per dataset.
        """
        tables = list({table.name: table for table in tables}.values())
        abouts = self._together(self.catalog.table, [table.name for table in tables])
        daily: dict[str, dict[str, bigquery.Table]] = {}
        for table, about in zip(tables, abouts, strict=True):
            if not is_sharded(table.name) and is_by_day(about, table, columns_of(about)):
                daily.setdefault(table.name.rpartition(".")[0], {})[table.name] = about
        answers = self._together(
            lambda names: self._records_if_any(list(names), start, end), list(daily.values())
        )
        found = {table.name: Partitions(by_day=None) for table in tables}
        for named, rows in zip(daily.values(), answers, strict=True):
            if rows is None:
                continue
            for name, about in named.items():
                short = name.rpartition(".")[2]
                found[name] = by_day(about, rows_of(short, rows), start, end)
        return found

    def bytes_to_count(self, tables: Sequence[Table], start: date, end: date) -> int:
        """By dry run of every count."""
        read = self._together(
            lambda table: self.dry_run_bytes(*coverage_query(self.dated(table), start, end)), tables
        )
        datasets = {table.name.rpartition(".")[0] for table in tables}
        return sum(map(billed_bytes, read)) + len(datasets) * MINIMUM_BYTES_BILLED

    def _records(self, names: Sequence[str], start: date, end: date) -> Sequence[Mapping[str, Any]]:
        """What INFORMATION_SCHEMA says of some tables of one dataset. Raises `Unsupported` where it
        answers nothing, since the dataset holds more than 1,000 tables.
        """
        try:
            return self.rows(*records_query(names, start, end))
        except Unsupported:
            return self.rows(*records_query(names, start, end, exact=True))

    def _records_if_any(
        self, names: Sequence[str], start: date, end: date
    ) -> Sequence[Mapping[str, Any]] | None:
        try:
            return self._records(names, start, end)
        except Unsupported:
            return None  # the records decide nothing: counts work without them

    def columns(self, table: str) -> Mapping[str, str]:
        return self.catalog.columns(table)

    def partitioning(self, table: str) -> Partitioning:
        return self.catalog.partitioning(table)

    def missing_rights(self, table: str) -> Sequence[str]:
        return self.catalog.missing_rights(table)

    def tables(self, beside: str) -> Sequence[str]:
        return self.catalog.tables(beside)

    def rows(self, statement: str, parameters: Parameters) -> Sequence[Mapping[str, Any]]:
        with self._finished(statement, parameters) as (_, rows):
            return all_rows(self.name, rows)

    def describe(self, statement: str, parameters: Parameters) -> Mapping[str, str]:
        with in_our_words(self.name):
            job = self._look(statement, parameters)
            if job.statement_type not in (None, "SELECT"):
                raise WarehouseRefused(f"it is {job.statement_type}, and has to be a SELECT.")
            return {field.name: google_type(field) for field in job.schema or ()}

    def run(self, statement: str, parameters: Parameters) -> int:
        try:
            with self._finished(statement, parameters, writes=True) as (job, _):
                self.catalog.seen.add(job.referenced_tables)
                if job.dml_stats is not None:
                    return job.dml_stats.inserted_row_count
                return (job.num_dml_affected_rows or 0) if job.statement_type == "INSERT" else 0
        except TableNotFound as error:
            raise self.catalog.seen.hurried(error) from None

    def dry_run_bytes(self, statement: str, parameters: Parameters) -> int:
        """How many bytes the statement would read, for nothing. BigQuery bills at least 10 MB
        per table it names. Raises `WarehouseError` where the statement itself would be refused.
        """
        with in_our_words(self.name):
            job = self._look(statement, parameters)
            return int(job.total_bytes_processed or 0)

    def bytes_to_run(self, statement: str, parameters: Parameters) -> int:
        """By dry run."""
        with in_our_words(self.name):
            job = self._look(statement, parameters)
            return billed_bytes(int(job.total_bytes_processed or 0), len(job.referenced_tables))

    @property
    def billed(self) -> int:
        return self._meter.bytes

    def location(self, table: str) -> str | None:
        return self.catalog.location(table) or self._location

    def cancel(self) -> None:
        self._jobs.cancel()

    def keeper(self, *, dataset: str = "", days: int) -> BigQueryKeeper:
        return BigQueryKeeper(
            self._client,
            self.catalog,
            labels=self._labels,
            together=self._together,
            dataset=dataset,
            days=days,
        )

    def vacuum(self, table: str) -> int:
        return 0

    def close(self) -> None:
        self._client.close()  # type: ignore[no-untyped-call]

    # -- jobs --------------------------------------------------------------------------------

    def _config(self, parameters: Parameters, **options: Any) -> bigquery.QueryJobConfig:
        return bigquery.QueryJobConfig(
            query_parameters=[parameter_of(name, value) for name, value in parameters.items()],
            labels=job_labels(self._labels),
            **options,
        )

    def _look(self, statement: str, parameters: Parameters) -> QueryJob:
        config = self._config(parameters, dry_run=True)
        return self._jobs.look(statement, config, self._location_of(statement))

    @contextmanager
    def _finished(
        self, statement: str, parameters: Parameters, *, writes: bool = False
    ) -> Iterator[tuple[QueryJob, Any]]:
        """The job once it succeeded, and its rows, fetched page by page as they are read."""
        with (
            in_our_words(self.name),
            self._jobs.finished(
                statement,
                self._config(parameters),
                location=self._location_of(statement),
                job_id=f"{APP}-{self._labels.get('job') or uuid.uuid4().hex}",
                writes=writes,
            ) as finished,
        ):
            self._meter.add(finished[0].total_bytes_billed)
            yield finished

    def _location_of(self, statement: str) -> str | None:
        return self.catalog.location_of(statement) or self._location

    def _together(self, ask: Callable[[A], T], about: Sequence[A]) -> list[T]:
        return together(ask, about, at_once=self.at_once, cancel=self.cancel)
