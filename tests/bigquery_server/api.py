"""What each method of the REST API answers, apart from HTTP."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError

from sql.days import PARTITION_DATE, SUFFIX
from sql.errors import TableNotFound
from tests.bigquery_server import copies, encode
from tests.bigquery_server.encode import Json
from tests.bigquery_server.faults import ApiError, Faults
from tests.bigquery_server.jobs import Job, Jobs, page
from tests.bigquery_server.served import Layout, ServedWarehouse

_PROJECT = r"/bigquery/v2/projects/(?P<project>[^/]+)"
_ROUTES: tuple[tuple[str, re.Pattern[str], str], ...] = tuple(
    (verb, re.compile(_PROJECT + path), name)
    for verb, path, name in (
        ("POST", r"/jobs", "jobs.insert"),
        ("GET", r"/jobs/(?P<job>[^/]+)", "jobs.get"),
        ("POST", r"/jobs/(?P<job>[^/]+)/cancel", "jobs.cancel"),
        ("POST", r"/queries", "jobs.query"),
        ("GET", r"/queries/(?P<job>[^/]+)", "jobs.getQueryResults"),
        ("GET", r"/datasets", "datasets.list"),
        ("GET", r"/datasets/(?P<dataset>[^/]+)", "datasets.get"),
        ("GET", r"/datasets/(?P<dataset>[^/]+)/tables", "tables.list"),
        ("POST", r"/datasets/(?P<dataset>[^/]+)/tables", "tables.insert"),
        ("GET", r"/datasets/(?P<dataset>[^/]+)/tables/(?P<table>[^/]+)", "tables.get"),
        (
            "POST",
            r"/datasets/(?P<dataset>[^/]+)/tables/(?P<table>[^/:]+):testIamPermissions",
            "tables.testIamPermissions",
        ),
    )
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One request as it came."""

    verb: str
    path: str
    method: str | None
    """The API's name for it, such as `jobs.insert`; None if this server does not know it."""
    names: Mapping[str, str]
    """What the path names: project, job, dataset, table."""
    query: Mapping[str, str]
    body: Json

    @classmethod
    def read(cls, verb: str, path: str, query: Mapping[str, str], body: Json) -> Request:
        for known, pattern, method in _ROUTES:
            if verb == known and (match := pattern.fullmatch(path)):
                return cls(
                    verb=verb,
                    path=path,
                    method=method,
                    names=match.groupdict(),
                    query=query,
                    body=body,
                )
        return cls(verb=verb, path=path, method=None, names={}, query=query, body=body)


class Api:
    """The methods.

    page_rows: the most rows that one answer holds. wait_seconds: how long jobs.query and
    jobs.getQueryResults wait for a job unless told. unknown: hears of what cannot be answered.
    """

    def __init__(
        self,
        *,
        faults: Faults,
        location: str,
        locations: Mapping[str, str],
        page_rows: int,
        wait_seconds: float,
        filtered: frozenset[str],
        read_only: frozenset[str],
        unknown: Callable[[str], None],
    ) -> None:
        self.jobs = Jobs(faults=faults, filtered=filtered, unknown=unknown)
        self._wait_seconds = wait_seconds
        self._filtered = filtered
        self._read_only = read_only
        self._location = location
        self._locations = locations
        self._page_rows = page_rows
        self._methods: Mapping[str, Callable[[Request, ServedWarehouse], Json]] = {
            "jobs.insert": self._insert,
            "jobs.get": self._get,
            "jobs.cancel": self._cancel,
            "jobs.query": self._query,
            "jobs.getQueryResults": self._results,
            "datasets.list": self._datasets,
            "datasets.get": self._dataset,
            "tables.list": self._tables,
            "tables.insert": self._make_table,
            "tables.get": self._table,
            "tables.testIamPermissions": self._permissions,
        }

    def answer(self, request: Request, warehouse: ServedWarehouse) -> Json:
        """Raises `ApiError`."""
        assert request.method is not None
        return self._methods[request.method](request, warehouse)

    # -- jobs --------------------------------------------------------------------------------

    def _insert(self, request: Request, warehouse: ServedWarehouse) -> Json:
        configuration = request.body.get("configuration", {})
        if configuration.keys().isdisjoint(("query", "copy")):
            raise ApiError("notImplemented", "This server runs query jobs and copy jobs only.")
        reference = request.body.get("jobReference", {})
        job = Job(
            project=request.names["project"],
            job_id=reference.get("jobId") or str(uuid.uuid4()),
            location=reference.get("location") or self._inferred(configuration),
            configuration=configuration,
        )
        if job.dry_run:
            # Refused at once, and forgotten: a dry run has no id to ask about.
            job.finish(answer=self.jobs.execute(job, warehouse))
            return job.resource()
        for at in self._places(configuration):
            if at != job.location:
                raise ApiError(
                    "notFound", f"Not found: Table p:d.t was not found in location {job.location}"
                )
        self.jobs.begin(job)
        self.jobs.wait(job, warehouse, seconds=0)
        # As BigQuery does: the first answer says RUNNING, an error is found by asking again.
        return job.resource(done=False)

    def _get(self, request: Request, warehouse: ServedWarehouse) -> Json:
        job = self._job(request)
        self.jobs.wait(job, warehouse, seconds=0)
        return job.resource()

    def _cancel(self, request: Request, warehouse: ServedWarehouse) -> Json:
        job = self._job(request)
        self.jobs.cancel(job)
        return {"kind": "bigquery#jobCancelResponse", "job": job.resource()}

    def _query(self, request: Request, warehouse: ServedWarehouse) -> Json:
        body = request.body
        outer = ("dryRun", "labels", "jobTimeoutMs")
        job = Job(
            project=request.names["project"],
            job_id=str(uuid.uuid4()),
            location=body.get("location") or self._location,
            configuration={key: body[key] for key in outer if key in body}
            | {"query": {key: value for key, value in body.items() if key not in outer}},
        )
        if job.dry_run:
            job.finish(answer=self.jobs.execute(job, warehouse))
            return self._answered(job, start=0, rows=0, micros=True)
        self.jobs.begin(job)
        return self._waited(
            job,
            warehouse,
            seconds=int(body.get("timeoutMs", self._wait_seconds * 1000)) / 1000,
            start=0,
            rows=min(self._page_rows, int(body.get("maxResults", self._page_rows))),
            micros=bool(body.get("formatOptions", {}).get("useInt64Timestamp")),
        )

    def _results(self, request: Request, warehouse: ServedWarehouse) -> Json:
        query = request.query
        token = query.get("pageToken", "").removeprefix("from-")
        start = token or query.get("startIndex", "0")
        rows = query.get("maxResults", str(self._page_rows))
        if not (start.isdecimal() and rows.isdecimal()):
            raise ApiError("invalid", "Invalid pageToken, startIndex or maxResults")
        return self._waited(
            self._job(request),
            warehouse,
            seconds=int(query.get("timeoutMs", self._wait_seconds * 1000)) / 1000,
            start=int(start),
            rows=min(self._page_rows, int(rows)),
            micros=query.get("formatOptions.useInt64Timestamp", "").lower() == "true",
        )

    def _job(self, request: Request) -> Job:
        return self.jobs.get(
            request.names["project"], request.names["job"], request.query.get("location")
        )

    def _inferred(self, configuration: Json) -> str:
        """Where BigQuery runs a job that names no location: where its tables are."""
        return next(iter(self._places(configuration)), self._location)

    def _places(self, configuration: Json) -> list[str]:
        """Where the tables of a statement are, each place once."""
        try:
            tree = parse_one(str(configuration.get("query", {}).get("query", "")), read="bigquery")
        except SqlglotError:
            return []
        datasets = [table.db for table in tree.find_all(exp.Table) if table.db]
        places = [self._locations.get(name, self._location) for name in datasets]
        about_jobs = [name for name in datasets if name.lower().startswith("region-")]
        return [] if about_jobs else [*dict.fromkeys(places)]

    def _waited(
        self,
        job: Job,
        warehouse: ServedWarehouse,
        *,
        seconds: float,
        start: int,
        rows: int,
        micros: bool,
    ) -> Json:
        if not self.jobs.wait(job, warehouse, seconds=seconds):
            return {"jobReference": job.reference, "jobComplete": False}
        if job.error:
            raise job.error
        return self._answered(job, start=start, rows=rows, micros=micros)

    def _answered(self, job: Job, *, start: int, rows: int, micros: bool) -> Json:
        assert job.answer is not None
        answer: Json = {
            "kind": "bigquery#getQueryResultsResponse",
            "jobReference": job.reference,
            "jobComplete": True,
            "cacheHit": False,
            "totalBytesProcessed": str(job.answer.processed),
        }
        if job.answer.statement_type in ("INSERT", "MERGE", "DELETE"):
            answer["numDmlAffectedRows"] = str(job.answer.inserted + job.answer.deleted)
        return answer | page(job, start=start, rows=rows, micros=micros)

    # -- tables ------------------------------------------------------------------------------

    def _datasets(self, request: Request, warehouse: ServedWarehouse) -> Json:
        project = request.names["project"]
        references = [
            {"projectId": project, "datasetId": dataset}
            for dataset in sorted({dataset for dataset, _ in warehouse.named(project)})
        ]
        return {
            "kind": "bigquery#datasetList",
            "datasets": [
                {
                    "kind": "bigquery#dataset",
                    "id": f"{project}:{reference['datasetId']}",
                    "datasetReference": reference,
                }
                for reference in references
            ],
        }

    def _dataset(self, request: Request, warehouse: ServedWarehouse) -> Json:
        project, name = request.names["project"], request.names["dataset"]
        known = {dataset for dataset, _ in warehouse.named(project)} | self._locations.keys()
        if name not in known:
            raise ApiError("notFound", f"Not found: Dataset {project}:{name}")
        return copies.dataset(project, name, self._locations.get(name, self._location))

    def _make_table(self, request: Request, warehouse: ServedWarehouse) -> Json:
        copies.make_table(request.body, warehouse)
        return request.body

    def _tables(self, request: Request, warehouse: ServedWarehouse) -> Json:
        project, dataset = request.names["project"], request.names["dataset"]
        names = [table for place, table in warehouse.named(project) if place == dataset]
        kinds = {name: shown.kind for name, shown in warehouse.shown.items()}
        return {
            "kind": "bigquery#tableList",
            "totalItems": len(names),
            "tables": [
                {
                    "kind": "bigquery#table",
                    "id": f"{project}:{dataset}.{name}",
                    "tableReference": {
                        "projectId": project,
                        "datasetId": dataset,
                        "tableId": name,
                    },
                    "type": kinds.get(f"{dataset}.{name}", "TABLE"),
                }
                for name in names
            ],
        }

    def _permissions(self, request: Request, warehouse: ServedWarehouse) -> Json:
        self._table(request, warehouse)  # is it there?
        asked = [str(right) for right in request.body.get("permissions", ())]
        if f"{request.names['dataset']}.{request.names['table']}" in self._read_only:
            asked = [right for right in asked if not right.endswith("updateData")]
        return {"permissions": asked} if asked else {}

    def _table(self, request: Request, warehouse: ServedWarehouse) -> Json:
        project, dataset, table = (request.names[key] for key in ("project", "dataset", "table"))
        layout = self._layout(request, warehouse, table)
        answer: Json = {
            "kind": "bigquery#table",
            "id": f"{project}:{dataset}.{table}",
            "tableReference": {"projectId": project, "datasetId": dataset, "tableId": table},
            "schema": {
                "fields": [
                    encode.table_field(name, kind, required=name in layout.required)
                    for name, kind in layout.columns.items()
                    if name not in (PARTITION_DATE, SUFFIX)
                ]
            },
            "type": layout.kind,
            "location": self._locations.get(dataset, self._location),
            "numRows": str(layout.rows),
            "creationTime": str(int(layout.created.timestamp() * 1000)),
            "lastModifiedTime": str(int(layout.modified.timestamp() * 1000)),
        }
        if layout.partition:
            answer |= _partitioning(layout)
            answer["requirePartitionFilter"] = f"{dataset}.{table}" in self._filtered
        if layout.streamed:
            answer["streamingBuffer"] = {
                "estimatedRows": str(layout.rows_streamed),
                "estimatedBytes": str(layout.rows_streamed * len(layout.columns) * 8),
                "oldestEntryTime": str(int(layout.modified.timestamp() * 1000)),
            }
        return answer

    def _layout(self, request: Request, warehouse: ServedWarehouse, table: str) -> Layout:
        project, dataset = request.names["project"], request.names["dataset"]
        try:
            return warehouse.layout(warehouse.folder_name(f"{project}.{dataset}.{table}", project))
        except TableNotFound:
            raise ApiError("notFound", f"Not found: Table {project}:{dataset}.{table}") from None


def _partitioning(layout: Layout) -> Json:
    """By what a table is partitioned, as tables.get has it."""
    if layout.granularity == "RANGE":
        numbers = {"start": "0", "end": "1000", "interval": "1"}
        return {"rangePartitioning": {"field": layout.partition, "range": numbers}}
    field = {} if layout.partition == PARTITION_DATE else {"field": layout.partition}
    return {"timePartitioning": {"type": layout.granularity, **field}}
