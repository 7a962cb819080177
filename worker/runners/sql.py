"""Runs GoogleSQL statements in the warehouse, with `@start_date` and `@end_date` bound.

A statement that runs when the step must stop is cancelled, and waited for: nothing goes on writing
once the lease is released. One that ends before the cancellation takes effect counts as run.

The id of a statement's job is written into the checkpoint before the job is sent. After a lost
answer, and after a takeover from a dead worker, the worker asks for the job by this id.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass
from pathlib import Path

from planner.files import private
from planner.pipeline.runners import SqlRunner
from planner.pipeline.statements import read_statement
from planner.text import counted
from sql import TooLarge as TooLargeError
from sql import Unsupported, WarehouseError, WarehouseRefused
from sql.errors import LostWrite
from sql.warehouse import Parameters, Warehouse
from worker.processes.secrets import redacted
from worker.runners.job import (
    LEASE_LOST,
    THERE,
    Failed,
    Job,
    Outcome,
    Ran,
    Readiness,
    Stopped,
    TooLarge,
    TryLater,
)

POLL_SECONDS = 0.1  # how soon the end of a statement, or a reason to stop it, is noticed


@dataclass(frozen=True)
class Sql:
    """The runner of kind `sql`."""

    spec: SqlRunner

    def run(self, job: Job) -> Outcome:
        deadline = time.monotonic() + job.phase.timeout_seconds
        first = int(job.checkpoint.get("statement", 0))
        known = str(job.checkpoint.get("job", ""))
        for number, name in list(enumerate(self.spec.statements))[first:]:
            why = job.stop()
            if why is not None:
                return Stopped(why=why)
            job_id, known = known or uuid.uuid4().hex, ""
            noted = {"statement": number, "job": job_id}
            if job.warehouse.at_once > 1 and not job.note(noted):
                return Stopped(why=LEASE_LOST)
            try:
                statement = read_statement(name, job.pipeline_dir)
                added = _run(job, statement, deadline, self.spec.chosen(job.values), job_id)
            except WarehouseError as error:
                _log(job, f"{name} {job.start} {job.end}: {redacted(str(error))}")
                if error.patience_seconds:
                    return TryLater(error=error, what=name, checkpoint=noted)
                return outcome_of(name, error)
            except TimeoutError:
                told = f"{name}: timed out after {job.phase.timeout_seconds:g} s"
                _log(job, told)
                return TooLarge(error=told) if len(job.dates) > 1 else Failed(error=told)
            if isinstance(added, Stopped):
                return added
            _log(job, f"{name} {job.start} {job.end}: {counted(added, 'row')}")
        return Ran()

    def absence(self, beside: Path) -> str | None:
        from sql.dialect import count_statements, several  # sqlglot costs 113 ms to import

        for name in self.spec.statements:
            try:
                count = count_statements(read_statement(name, beside))
            except WarehouseRefused:
                return f"there is no statement {name} in {beside}, and none ships"
            if count != 1:
                return f"statement {name} in {beside}: {several(count)}"
        return None

    def readiness(self) -> Readiness:
        return THERE


def _log(job: Job, line: str) -> None:
    with open(job.log, "a", encoding="utf-8", opener=private) as log:
        log.write(f"{line}\n")


def _run(
    job: Job, statement: str, deadline: float, values: Mapping[str, str], job_id: str
) -> int | Stopped:
    """Run one statement, with values as text: how many rows it added, or why it was cancelled.

    Raises `WarehouseError`, and `TimeoutError` for what was cancelled at the deadline. A warehouse
    that only one thread may use, the local one, cannot be cancelled: its statements run to their
    end.
    """
    warehouse = job.warehouse
    parameters: Parameters = {"start_date": job.start, "end_date": job.end, **values}
    if warehouse.at_once == 1:
        return warehouse.run(statement, parameters)
    with ThreadPoolExecutor(1, thread_name_prefix="statement-") as executor:
        running = executor.submit(
            copy_context().run, warehouse.labelled(job=job_id).run, statement, parameters
        )
        try:
            while not wait([running], POLL_SECONDS).done:
                why = job.stop()
                if why is not None or time.monotonic() > deadline:
                    _cancel(warehouse, running)
                    if running.exception() is None:
                        break  # it ended before the cancellation took effect
                    if why is None and not isinstance(running.exception(), LostWrite):
                        raise TimeoutError
                    if why is None:
                        break
                    return Stopped(why=why)
        except BaseException:
            _cancel(warehouse, running)
            raise
        return running.result()


def _cancel(warehouse: Warehouse, running: Future[int]) -> None:
    """Cancel until it has ended: a job that is only being submitted cannot be cancelled yet."""
    while not running.done():
        warehouse.cancel()
        wait([running], POLL_SECONDS)


def outcome_of(name: str, error: WarehouseError) -> Outcome:
    """What an error of statement `name` means for its dates: split, retry, or permanent."""
    told = f"{name}: {error}"
    match error:
        case TooLargeError():
            return TooLarge(error=told)
        case WarehouseRefused() | Unsupported():
            return Failed(error=told, is_permanent=True)
    return Failed(error=told)
