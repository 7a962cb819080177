"""`region-….INFORMATION_SCHEMA.JOBS`: what a server's jobs were billed, and their labels."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
from sqlglot import exp

from sql.errors import Unsupported
from sql.warehouse import Parameters
from tests.bigquery_server.served import ServedWarehouse

if TYPE_CHECKING:
    from tests.bigquery_server.jobs import Job

_VIEW = "INFORMATION_SCHEMA.JOBS"
_COLUMNS = pa.schema(
    {
        "creation_time": pa.timestamp("us", tz="UTC"),
        "job_id": pa.string(),
        "parent_job_id": pa.string(),
        "state": pa.string(),
        "total_bytes_billed": pa.int64(),
        "labels": pa.list_(pa.struct({"key": pa.string(), "value": pa.string()})),
    }
)


def is_about_jobs(tree: exp.Expr) -> bool:
    return any(table.name.upper() == _VIEW for table in tree.find_all(exp.Table))


def about_jobs(
    tree: exp.Expr, parameters: Parameters, jobs: Iterable[Job], warehouse: ServedWarehouse
) -> pa.Table:
    """Answer a query over the jobs of one region."""
    tree = tree.copy()
    references = [table for table in tree.find_all(exp.Table) if table.db]
    if len(references) != 1 or references[0].name.upper() != _VIEW:
        raise Unsupported(f"A query over {_VIEW} can name no other table here.")
    [reference] = references
    rows = [
        {
            "creation_time": datetime.fromtimestamp(job.created, UTC),
            "job_id": job.job_id,
            "parent_job_id": None,
            "state": "DONE" if job.done else "RUNNING",
            "total_bytes_billed": job.answer.billed if job.answer else None,
            "labels": [
                {"key": key, "value": value}
                for key, value in job.configuration.get("labels", {}).items()
            ],
        }
        for job in jobs
        if f"region-{job.location}".lower() == reference.db.lower()
    ]
    reference.replace(exp.to_table("jobs_view").as_(reference.alias or "JOBS"))
    return warehouse.ask(tree, parameters, jobs_view=pa.Table.from_pylist(rows, _COLUMNS))
