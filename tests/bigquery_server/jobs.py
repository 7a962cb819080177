"""Query jobs: begun, run on the local warehouse, waited for, paged and cancelled."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError

from sql.errors import TableNotFound, Unsupported, WarehouseError, WarehouseUnreachable
from sql.warehouse import Parameters
from tests.bigquery_server import encode
from tests.bigquery_server.copies import copy_partition
from tests.bigquery_server.encode import Json
from tests.bigquery_server.faults import ApiError, Faults
from tests.bigquery_server.job_records import about_jobs, is_about_jobs
from tests.bigquery_server.scans import BYTES_PER_VALUE, Scan, bytes_billed, scans
from tests.bigquery_server.served import ServedWarehouse

JOBS_KEPT = 1000  # with their rows, in memory; BigQuery keeps results for a day


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What a job that succeeded leaves behind."""

    statement_type: str  # BigQuery's: SELECT, MERGE, INSERT, DELETE, CREATE_TABLE
    rows: pa.Table | None  # None for what writes
    inserted: int = 0
    deleted: int = 0
    processed: int = 0  # bytes
    billed: int = 0  # bytes
    referenced: tuple[str, ...] = ()


class Job:
    """One query job. Not run while it is held; a cancelled one never is."""

    def __init__(self, *, project: str, job_id: str, location: str, configuration: Json) -> None:
        self.project = project
        self.job_id = job_id
        self.location = location
        self.configuration = configuration
        self.created = time.time()
        self.ended: float | None = None
        self.answer: Answer | None = None
        self.error: ApiError | None = None
        self.running = threading.Lock()
        self.is_pending = False
        """Whether it waits for slots, and has not started."""

    @property
    def done(self) -> bool:
        return self.ended is not None

    @property
    def dry_run(self) -> bool:
        return bool(self.configuration.get("dryRun"))

    def finish(self, *, answer: Answer | None = None, error: ApiError | None = None) -> None:
        self.answer, self.error, self.ended = answer, error, time.time()

    def resource(self, *, done: bool | None = None) -> Json:
        """The job as the API shows it. done=False: as it was just after it began."""
        done = self.done if done is None else done
        waits = "PENDING" if self.is_pending else "RUNNING"
        status: Json = {"state": "DONE" if done else waits}
        statistics: Json = {"creationTime": _millis(self.created)}
        if not self.is_pending:
            statistics["startTime"] = _millis(self.created)
        if done and self.error:
            result = {"reason": self.error.reason, "message": self.error.message}
            status |= {"errorResult": result, "errors": [result]}
        if done and self.ended is not None:
            statistics["endTime"] = _millis(self.ended)
        if done and self.answer is not None:
            statistics |= {"totalBytesProcessed": str(self.answer.processed)}
            if "query" in self.configuration:
                statistics["query"] = self._query_statistics(self.answer)
        return {
            "kind": "bigquery#job",
            "id": f"{self.project}:{self.location}.{self.job_id}",
            "jobReference": self.reference,
            "configuration": self.configuration
            | {"jobType": "QUERY" if "query" in self.configuration else "COPY"},
            "status": status,
            "statistics": statistics,
        }

    @property
    def reference(self) -> Json:
        return {"projectId": self.project, "jobId": self.job_id, "location": self.location}

    def _named(self, name: str) -> Json:
        parts = dict(
            zip(("tableId", "datasetId", "projectId"), name.split(".")[::-1], strict=False)
        )
        return {"projectId": self.project, **parts}

    def _query_statistics(self, answer: Answer) -> Json:
        query: Json = {
            "statementType": answer.statement_type,
            "totalBytesProcessed": str(answer.processed),
            "totalBytesBilled": str(answer.billed),
            "cacheHit": False,
            "referencedTables": [self._named(name) for name in answer.referenced],
        }
        if answer.rows is not None:
            query["schema"] = {"fields": encode.schema(answer.rows.schema)}
        if answer.statement_type in ("INSERT", "MERGE", "DELETE"):
            query["numDmlAffectedRows"] = str(answer.inserted + answer.deleted)
            query["dmlStats"] = {
                "insertedRowCount": str(answer.inserted),
                "deletedRowCount": str(answer.deleted),
            }
        return query


class Jobs:
    """The jobs of a server. Safe for threads: whoever asks about a job first runs it."""

    def __init__(
        self, *, faults: Faults, filtered: frozenset[str], unknown: Callable[[str], None]
    ) -> None:
        self._faults = faults
        self._unknown = unknown
        self._filtered = filtered
        self._jobs: OrderedDict[tuple[str, str], Job] = OrderedDict()
        self._changed = threading.Condition()
        self._held = self._pending = False
        self.processed = 0
        self.billed = 0

    def hold(self, *, pending: bool = False) -> None:
        """Let jobs that begin from now on stay RUNNING, or PENDING."""
        with self._changed:
            self._held, self._pending = True, pending

    def release(self) -> None:
        with self._changed:
            self._held = self._pending = False
            self._changed.notify_all()

    def begin(self, job: Job) -> None:
        """Raises `ApiError` (duplicate) for an id that was used before."""
        with self._changed:
            key = (job.project, job.job_id)
            if key in self._jobs:
                raise ApiError(
                    "duplicate", f"Already Exists: Job {job.project}:{job.location}.{job.job_id}"
                )
            self._jobs[key] = job
            job.is_pending = self._pending
            while len(self._jobs) > JOBS_KEPT:
                self._jobs.popitem(last=False)

    def get(self, project: str, job_id: str, location: str | None) -> Job:
        """Without a location, those of US and EU alone are found, as in BigQuery."""
        with self._changed:
            try:
                job = self._jobs[project, job_id]
                if job.location not in ((location,) if location else ("US", "EU")):
                    raise KeyError
                return job
            except KeyError:
                raise ApiError("notFound", f"Not found: Job {project}:{job_id}") from None

    def cancel(self, job: Job) -> None:
        """End a job that is held. One that is being run may not stop, as in BigQuery."""
        with self._changed:
            if job.running.acquire(blocking=False):
                if not job.done:
                    job.finish(
                        error=ApiError("stopped", "Job execution was cancelled: User requested")
                    )
                job.running.release()
            self._changed.notify_all()

    def wait(self, job: Job, warehouse: ServedWarehouse, *, seconds: float) -> bool:
        """Run the job, or wait until someone else has. Whether it is done."""
        with self._changed:
            self._changed.wait_for(lambda: job.done or not self._held, seconds)
            if self._held and not job.done:
                return False
        with job.running:
            job.is_pending = job.is_pending and job.done
            if not job.done:
                self._run(job, warehouse)
        return True

    def _run(self, job: Job, warehouse: ServedWarehouse) -> None:
        try:
            self._faults.take("jobs.insert", text=statement_of(job.configuration), in_job=True)
            answer = self.execute(job, warehouse)
        except ApiError as error:
            if error.status == 501:
                self._unknown(error.message)
            job.finish(error=error)
            return
        with self._changed:
            self.processed += answer.processed
            self.billed += answer.billed
        job.finish(answer=answer)

    def execute(self, job: Job, warehouse: ServedWarehouse) -> Answer:
        """Run a job's statement, or with dryRun only look at it. Raises `ApiError`."""
        if "copy" in job.configuration:
            copy_partition(job.configuration["copy"], job.project, warehouse)
            return Answer(statement_type="COPY", rows=None)
        query = job.configuration["query"]
        if query.get("useLegacySql", True):  # the API's default
            raise ApiError("notImplemented", "This server speaks GoogleSQL: set useLegacySql.")
        parameters = encode.parameters(query.get("queryParameters", ()))
        try:
            tree = warehouse.resolved(parse_one(query["query"], read="bigquery"), job.project)
            return self._answer(job, warehouse, tree, parameters)
        except SqlglotError as error:
            raise ApiError("invalidQuery", f"Syntax error: {_line(error)}") from error
        except TableNotFound as error:
            raise ApiError(
                "notFound", f"Not found: {_line(error)} (location {job.location})"
            ) from error
        except Unsupported as error:
            raise ApiError("notImplemented", _line(error)) from error
        except WarehouseUnreachable as error:
            raise ApiError("backendError", _line(error)) from error
        except WarehouseError as error:
            raise ApiError("invalidQuery", _line(error)) from error

    def _answer(
        self, job: Job, warehouse: ServedWarehouse, tree: exp.Expr, parameters: Parameters
    ) -> Answer:
        kind = f"{tree.key.upper()}_TABLE" if isinstance(tree, exp.Create) else tree.key.upper()
        if is_about_jobs(tree):
            with self._changed:
                ran = [each for each in self._jobs.values() if each.project == job.project]
            rows = about_jobs(tree, parameters, ran, warehouse)
            return Answer(statement_type=kind, rows=rows, billed=self._billed(job, [0]))
        if _is_about_partitions(tree):
            rows = warehouse.about_partitions(tree, parameters, job.project)
            return Answer(statement_type=kind, rows=rows, billed=self._billed(job, [0]))
        read = scans(tree, warehouse.layout)
        self._refuse_unfiltered(read, job.project)
        bytes_read = [_bytes(scan, warehouse, parameters) for scan in read]
        names = tuple(scan.table for scan in read)
        billed = self._billed(job, bytes_read)
        if isinstance(tree, exp.Query):
            if job.dry_run:
                tree = exp.select("*").from_(tree.subquery("q")).limit(0)
            rows = warehouse.table(tree, parameters)
            return Answer(
                statement_type="SELECT",
                rows=rows,
                processed=sum(bytes_read),
                billed=billed,
                referenced=names,
            )
        if job.dry_run:
            return Answer(
                statement_type=kind, rows=None, processed=sum(bytes_read), referenced=names
            )
        target = next(iter(tree.find_all(exp.Table)), None)
        name = ".".join(part.name for part in target.parts) if target else ""
        before = 0 if isinstance(tree, exp.Create) else warehouse.layout(name).rows
        inserted = warehouse.run(tree.sql("bigquery"), parameters)
        # Right unless another writer came between; only the local warehouse could say better.
        deleted = max(0, before + inserted - warehouse.layout(name).rows)
        return Answer(
            statement_type=kind,
            rows=None,
            inserted=inserted,
            deleted=deleted,
            processed=sum(bytes_read),
            billed=billed,
        )

    def _billed(self, job: Job, bytes_read: list[int]) -> int:
        if job.dry_run:
            return 0
        billed = bytes_billed(bytes_read)
        limit = job.configuration["query"].get("maximumBytesBilled")
        if limit is not None and billed > int(limit):
            raise ApiError(
                "bytesBilledLimitExceeded",
                f"Query exceeded limit for bytes billed: {limit}. {billed} or higher required.",
            )
        return billed

    def _refuse_unfiltered(self, read: list[Scan], project: str) -> None:
        for scan in read:
            own = scan.table.removeprefix(f"{project}.")
            if own in self._filtered and scan.layout.partition and scan.condition is None:
                raise ApiError(
                    "invalidQuery",
                    f"Cannot query over table '{project}.{own}' without a filter over column(s) "
                    f"'{scan.layout.partition}' that can be used for partition elimination",
                )


def statement_of(configuration: Json) -> str:
    """The statement of a query job; empty of any other."""
    return str(configuration.get("query", {}).get("query", ""))


def _bytes(scan: Scan, warehouse: ServedWarehouse, parameters: Parameters) -> int:
    rows = (
        scan.layout.rows
        if scan.condition is None
        else warehouse.rows_where(scan.layout, scan.condition, parameters)
    )
    return rows * scan.columns * BYTES_PER_VALUE


def _is_about_partitions(tree: exp.Expr) -> bool:
    return any(
        table.name.upper().startswith("INFORMATION_SCHEMA.") for table in tree.find_all(exp.Table)
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _millis(seconds: float) -> str:
    return str(int(seconds * 1000))


def page(job: Job, *, start: int, rows: int, micros: bool) -> Json:
    """Part of a finished job's rows: `rows` and, when there are more, `pageToken`."""
    assert job.answer is not None
    table = job.answer.rows
    if table is None:
        return {}
    fields = encode.schema(table.schema)
    part: list[dict[str, Any]] = table.slice(start, rows).to_pylist()
    answer: Json = {
        "schema": {"fields": fields},
        "totalRows": str(table.num_rows),
    }
    if part:
        answer["rows"] = [encode.row(values, fields, micros=micros) for values in part]
    if rows and start + len(part) < table.num_rows:
        answer["pageToken"] = f"from-{start + len(part)}"
    return answer
