"""Errors as BigQuery answers them, and which of the coming requests get one.

Reasons and codes: https://cloud.google.com/bigquery/docs/error-messages.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace

HTTP_STATUS: Mapping[str, int] = {
    "accessDenied": 403,
    "backendError": 503,
    "bytesBilledLimitExceeded": 400,
    "duplicate": 409,
    "invalid": 400,
    "invalidQuery": 400,
    "notFound": 404,
    "jobRateLimitExceeded": 400,
    "notImplemented": 501,
    "quotaExceeded": 403,
    "rateLimitExceeded": 403,
    "resourcesExceeded": 400,
    "responseTooLarge": 403,
    "stopped": 499,
    "uploadTooLarge": 413,  # answered as the HTML page that the front end sends, without a reason
}
"""BigQuery's reason → the HTTP status it comes with."""


class ApiError(Exception):
    """An error answer: `reason` as BigQuery names it, its HTTP `status`, and the message."""

    def __init__(self, reason: str, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.status = status or HTTP_STATUS[reason]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """An error to answer with instead of, or after, doing what was asked."""

    reason: str
    """BigQuery's, a key of `HTTP_STATUS`."""
    message: str
    in_job: bool = False
    """The request that starts the job succeeds; the job fails."""
    after: bool = False
    """What was asked is done, and only its answer is lost."""

    def error(self) -> ApiError:
        return ApiError(self.reason, self.message)

    def within_job(self) -> Fault:
        return replace(self, in_job=True)

    def after_the_work(self) -> Fault:
        return replace(self, after=True)


NOT_FOUND = Fault(reason="notFound", message="Not found: Table p:d.t was not found in location US")
ACCESS_DENIED = Fault(
    reason="accessDenied",
    message="Access Denied: Table p:d.t: User does not have permission to query table p:d.t, "
    "or perhaps it does not exist.",
)
RATE_LIMITED = Fault(
    reason="rateLimitExceeded",
    message="Exceeded rate limits: too many concurrent queries for this project_and_region.",
)
BYTES_LIMIT = Fault(
    reason="bytesBilledLimitExceeded",
    message="Query exceeded limit for bytes billed: 1. 10485760 or higher required.",
)
TOO_LARGE = Fault(
    reason="uploadTooLarge", message="Your client issued a request that was too large."
)
RESPONSE_TOO_LARGE = Fault(
    reason="responseTooLarge",
    message="Response too large to return. Consider specifying a destination table.",
)
OUT_OF_MEMORY = Fault(
    reason="resourcesExceeded",
    message="Resources exceeded during query execution: The query could not be executed in the "
    "allotted memory.",
)
WRITTEN_MEANWHILE = Fault(
    reason="invalidQuery",
    message="Could not serialize access to table p:d.t due to concurrent update",
)
DML_QUEUE_FULL = Fault(
    reason="resourcesExceeded",
    message="Resources exceeded during query execution: Too many DML statements outstanding "
    "against table p:d.t, limit is 20.",
)
QUOTA_EXCEEDED = Fault(
    reason="quotaExceeded",
    message="Quota exceeded: Your project exceeded quota for free query bytes scanned.",
)
UNAVAILABLE = Fault(
    reason="backendError", message="The service is currently unavailable, please retry."
)


@dataclass(kw_only=True, slots=True)
class _Waiting:
    fault: Fault
    method: str | None
    times: int


class Faults:
    """The faults that wait for their requests. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: list[_Waiting] = []

    def add(self, fault: Fault, *, method: str | None, times: int) -> None:
        """Let the next `times` requests of `method` (of any method, if None) meet `fault`."""
        with self._lock:
            self._waiting.append(_Waiting(fault=fault, method=method, times=times))

    def take(self, method: str, *, in_job: bool = False, after: bool = False) -> None:
        """Raise the `ApiError` that waits for `method` at this point, if one does."""
        with self._lock:
            for waiting in self._waiting:
                fault = waiting.fault
                if (
                    waiting.times > 0
                    and waiting.method in (None, method)
                    and (fault.in_job, fault.after) == (in_job, after)
                ):
                    waiting.times -= 1
                    raise fault.error()
