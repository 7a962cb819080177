"""Query jobs: begun under ids of our own, waited for, begun again where that is safe, and ended.

A job's id is made before it is sent, so a job whose answer was lost can be asked about, and ended.
The same id twice is the same job: BigQuery answers 409, and the job that is there is ours. A job
that is known to have failed did nothing, as a statement is atomic, and only then is another begun.
"""

from __future__ import annotations

import concurrent.futures
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, cast

import requests
from google.api_core.exceptions import Conflict, GoogleAPICallError, NotFound, RetryError
from google.api_core.retry import Retry
from google.cloud import bigquery
from google.cloud.bigquery.job import QueryJob
from google.cloud.bigquery.retry import DEFAULT_JOB_RETRY, DEFAULT_RETRY

from sql.bigquery_errors import THEIRS, reason_of, translated
from sql.errors import LostWrite, NeverStarted, WarehouseError
from sql.tracing import span

INSERT_TIMEOUT_SECONDS = 240.0  # Google's own for jobs.insert [googleapis/python-bigquery#853]
REQUEST_TIMEOUT_SECONDS = 60.0  # one HTTP request that only starts or looks up something
CANCEL_TIMEOUT_SECONDS = 10.0  # a user who pressed Ctrl-C is waiting
CANCEL_AGAIN_SECONDS = 1.0  # between two requests to end one job
_CANCEL_LOOK_SECONDS = 0.1
_SOON_SECONDS = 0.5  # the first pause before something is asked again; at most

# Beside what the client calls passing: a table whose owner is another product, and answers that
# came too late or broke off.
_PASSING_REASONS = ("tableUnavailable",)
_PASSING_CODES = (408, 504)
_ENDED = ("stopped", "timeout")
_ONCE: Any = None  # what the client takes for: no retry of its own
_MISSING = re.compile(r"not found: (table|dataset)", re.IGNORECASE)


def passes(error: Exception) -> bool:
    """Whether the same request may do in a moment."""
    if isinstance(error, RetryError):
        return False  # it was asked again, for as long as we ask
    if isinstance(error, requests.exceptions.JSONDecodeError):
        return True  # an answer that was cut
    if isinstance(error, GoogleAPICallError) and (
        reason_of(error) in _PASSING_REASONS or error.code in _PASSING_CODES
    ):
        return True
    return bool(DEFAULT_JOB_RETRY._predicate(error))


def patient(seconds: float, also: Callable[[Exception], bool] = lambda error: True) -> Retry:
    """The client's retry, for what passes, and once for a table that is not found.

    Google answers so now and then of a table that is there. One retry each call: it counts.
    """
    missing = 0

    def predicate(error: Exception) -> bool:
        nonlocal missing
        if isinstance(error, NotFound) and _MISSING.search(str(error)):
            missing += 1
            return missing == 1 and also(error)
        return passes(error) and also(error)

    return (
        DEFAULT_RETRY.with_timeout(seconds)
        .with_delay(initial=_SOON_SECONDS)
        .with_predicate(predicate)
    )


@dataclass(kw_only=True, slots=True)
class _Running:
    """What a thread is waiting for."""

    job_id: str = ""
    location: str | None = None
    is_done: bool = True
    ask_after: float = 0.0
    """When it may be asked to end again; by the monotonic clock."""


class Jobs:
    """The jobs of one client. Safe for threads.

    retry_seconds: how long what passes is asked again. wait_seconds: how long a job may take.
    """

    def __init__(
        self, client: bigquery.Client, name: str, *, retry_seconds: float, wait_seconds: float
    ) -> None:
        self._client = client
        self._name = name
        self._retry_seconds = retry_seconds
        self._wait_seconds = wait_seconds
        self._end_seconds = min(CANCEL_TIMEOUT_SECONDS, retry_seconds)
        self._lock = threading.Lock()
        self._running: list[_Running] = []

    def look(
        self, statement: str, config: bigquery.QueryJobConfig, location: str | None
    ) -> QueryJob:
        """What a dry run says."""
        return patient(self._retry_seconds)(
            lambda: self._client.query(
                statement,
                job_config=config,
                location=location,
                retry=_ONCE,
                timeout=REQUEST_TIMEOUT_SECONDS,
                job_retry=_ONCE,
            )
        )()

    @contextmanager
    def finished(
        self,
        statement: str,
        config: bigquery.QueryJobConfig,
        *,
        location: str | None,
        job_id: str,
        writes: bool,
    ) -> Iterator[tuple[QueryJob, Any]]:
        """The job once it succeeded, and its rows, fetched page by page as they are read.

        job_id: what the ids of its jobs begin with. One that an earlier caller began with the same
        is waited for, and none is begun, unless it failed. Raises `LostWrite` where it writes and
        what became of it is not known, `NeverStarted`, and what the client raises.
        """
        running = _Running(location=location)
        numbers = iter(range(1_000_000))

        def once() -> tuple[QueryJob, Any]:
            while True:
                running.job_id = f"{job_id}-{next(numbers)}"
                job, is_found = self._begin(statement, config, running)
                try:
                    return job, self._waited(job, running)
                except GoogleAPICallError:
                    if not (is_found and running.is_done):
                        raise  # else it failed for an earlier caller, and is started again

        with self._lock:
            self._running.append(running)
        told = {"db.system.name": "gcp.bigquery", "backfill.job": job_id, "backfill.writes": writes}
        try:
            # Only after a job that is known to have ended: another might write beside it.
            again = patient(self._retry_seconds, lambda error: running.is_done)
            with span("bigquery.job", told):
                yield again(once)()
        except BaseException as error:
            # Ctrl-C, a worker's time limit, a lost connection: the answer will not be read,
            # and a write that goes on unseen would meet the next attempt.
            seconds = self._end_seconds if writes else 0.0
            is_known = running.is_done or self._end(running, seconds)
            if writes and not is_known and isinstance(error, (*THEIRS, WarehouseError)):
                said = error if isinstance(error, WarehouseError) else translated(self._name, error)
                raise LostWrite(
                    f"{said} What became of job {running.job_id} is not known: it is asked after "
                    "before the statement is run again."
                ) from None
            raise
        finally:
            with self._lock:
                self._running[:] = [other for other in self._running if other is not running]

    def cancel(self) -> None:
        """Ask every job that is waited for to end: to be called until they have ended."""
        with self._lock:
            running = list(self._running)
        for each in running:
            self._ask_to_end(each)

    # -- one job -----------------------------------------------------------------------------

    def _begin(
        self, statement: str, config: bigquery.QueryJobConfig, running: _Running
    ) -> tuple[QueryJob, bool]:
        """The job, and whether it was there before."""
        running.is_done = False
        try:
            job = patient(self._retry_seconds, lambda error: not isinstance(error, NotFound))(
                lambda: self._client.query(
                    statement,
                    job_config=config,
                    job_id=running.job_id,
                    location=running.location,
                    retry=_ONCE,
                    timeout=INSERT_TIMEOUT_SECONDS,
                    job_retry=_ONCE,
                )
            )()
        except Conflict as error:
            if "job" not in str(error).lower():
                running.is_done = True
                raise
            # It may take a moment until it is found [googleapis/python-bigquery#2134].
            found = DEFAULT_RETRY.with_timeout(self._retry_seconds).with_predicate(
                lambda error: isinstance(error, NotFound) or passes(error)
            )
            there = self._client.get_job(
                running.job_id,
                location=running.location,
                retry=found,
                timeout=REQUEST_TIMEOUT_SECONDS,
            )
            return cast(QueryJob, there), True
        except GoogleAPICallError:
            running.is_done = True  # it was refused, and never began
            raise
        return job, False

    def _waited(self, job: QueryJob, running: _Running) -> Any:
        """The rows of a job, once it has succeeded.

        An answer that fails says nothing of the job: its state is asked for again.
        """
        running.location = job.location or running.location
        deadline = time.monotonic() + self._wait_seconds

        def look() -> None:
            left = max(0.01, deadline - time.monotonic())
            job.result(retry=None, job_retry=None, timeout=min(REQUEST_TIMEOUT_SECONDS, left))

        looks = patient(self._retry_seconds, lambda error: not job.error_result)
        try:
            while True:
                with suppress(concurrent.futures.TimeoutError):
                    looks(look)()
                    break
                if time.monotonic() >= deadline:
                    raise self._late(job)
        finally:
            running.is_done = job.state == "DONE"
            if (
                job.error_result
                and job.started is None
                and job.error_result.get("reason") in _ENDED
            ):
                raise self._late(job)
        retry = patient(self._retry_seconds)
        return job.result(retry=retry, job_retry=None, timeout=REQUEST_TIMEOUT_SECONDS)

    def _late(self, job: QueryJob) -> Exception:
        """That a job was not done in time: it ran for too long, or waited and never began."""
        if job.started is not None:
            return concurrent.futures.TimeoutError()
        return NeverStarted(
            f"{self._name}: the job was queued, and never started: other jobs of the project or of "
            "its reservation take all slots. Try again later."
        )

    # -- its end -----------------------------------------------------------------------------

    def _end(self, running: _Running, seconds: float) -> bool:
        """Ask a job to end until it has, for so long. Whether it is known to have ended."""
        deadline = time.monotonic() + seconds
        while True:
            with suppress(Exception):
                job = self._client.get_job(
                    running.job_id,
                    location=running.location,
                    retry=_ONCE,
                    timeout=CANCEL_TIMEOUT_SECONDS,
                )
                if job.state == "DONE":
                    return True
            self._ask_to_end(running)
            if time.monotonic() >= deadline:
                return False
            threading.Event().wait(_CANCEL_LOOK_SECONDS)

    def _ask_to_end(self, running: _Running) -> None:
        with self._lock:
            now = time.monotonic()
            if running.is_done or now < running.ask_after:
                return
            running.ask_after = now + CANCEL_AGAIN_SECONDS
        try:
            self._client.cancel_job(
                running.job_id,
                location=running.location,
                retry=_ONCE,
                timeout=CANCEL_TIMEOUT_SECONDS,
            )
        except Exception:
            running.ask_after = 0.0  # it was not heard: the next look asks again
