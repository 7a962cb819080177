"""Errors as BigQuery answers them, and which of the coming requests get one.

Reasons and codes: https://cloud.google.com/bigquery/docs/error-messages.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

HTTP_STATUS: Mapping[str, int] = {
    "accessDenied": 403,
    "backendError": 503,
    "bytesBilledLimitExceeded": 400,
    "duplicate": 409,
    "gatewayTimeout": 504,
    "invalid": 400,
    "jobBackendError": 400,
    "jobInternalError": 400,
    "invalidQuery": 400,
    "notFound": 404,
    "jobRateLimitExceeded": 400,
    "notImplemented": 501,
    "quotaExceeded": 403,
    "rateLimitExceeded": 403,
    "resourcesExceeded": 400,
    "responseTooLarge": 403,
    "requestTimeout": 408,
    "stopped": 499,
    "tableUnavailable": 400,
    "uploadTooLarge": 413,  # answered as the HTML page that the front end sends, without a reason
}
"""BigQuery's reason → the HTTP status it comes with."""


class ApiError(Exception):
    """An error answer: `reason` as BigQuery names it, its HTTP `status`, and the message."""

    is_cut = False
    """Whether the answer breaks off."""

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
    about: str = ""
    """It is met by a statement that holds this text alone."""
    after: bool = False
    """What was asked is done, and only its answer is lost."""
    cut: bool = False
    """The answer breaks off in the middle."""
    spoilt: str = ""
    """How the answer lies: `fewer` rows than it says, pages that never end, a `null` or a `word`
    where a count stands."""

    def error(self) -> ApiError:
        error = ApiError(self.reason, self.message)
        error.is_cut = self.cut
        return error

    def cut_off(self) -> Fault:
        return replace(self, cut=True, after=True)

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
STREAMED = Fault(
    reason="invalidQuery",
    message="UPDATE or DELETE statement over table p.d.t would affect rows in the streaming buffer,"
    " which is not supported",
)
TABLE_UNAVAILABLE = Fault(
    reason="tableUnavailable", message="Something went wrong with the table you queried."
)
JOB_BACKEND = Fault(reason="jobBackendError", message="The job failed. Retry it.")
JOB_INTERNAL = Fault(reason="jobInternalError", message="The job failed. Retry it.")
REQUEST_TIMEOUT = Fault(reason="requestTimeout", message="The request timed out.")
GATEWAY_TIMEOUT = Fault(reason="gatewayTimeout", message="The gateway timed out.")
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

    def take(
        self, method: str, *, text: str = "", in_job: bool = False, after: bool = False
    ) -> None:
        """Raise the `ApiError` that waits for `method`, and for its text, at this point, if one
        does."""
        with self._lock:
            for waiting in self._waiting:
                fault = waiting.fault
                if (
                    waiting.times > 0
                    and waiting.method in (None, method)
                    and not fault.spoilt
                    and fault.about in text
                    and (fault.in_job, fault.after) == (in_job, after)
                ):
                    waiting.times -= 1
                    raise fault.error()

    def clear(self) -> None:
        with self._lock:
            self._waiting.clear()

    def spoil(self, method: str) -> str:
        """How the answer to `method` is to lie; empty where it is not."""
        with self._lock:
            for waiting in self._waiting:
                if waiting.times > 0 and waiting.fault.spoilt and waiting.method == method:
                    waiting.times -= 1
                    return waiting.fault.spoilt
        return ""


def spoilt(answer: dict[str, Any], how: str) -> dict[str, Any]:
    """A page of rows that lies."""
    rows = answer.get("rows", [])
    match how:
        case "fewer":
            return answer | {"rows": rows[:-1]}
        case "endless":
            return answer | {"rows": [], "pageToken": "from-0"}
        case "null" | "word" if rows:
            fields = [field["type"] for field in answer["schema"]["fields"]]
            n = fields.index("INTEGER")
            cells = [dict(cell) for cell in rows[0]["f"]]
            cells[n] = {"v": None if how == "null" else "many"}
            return answer | {"rows": [{"f": cells}, *rows[1:]]}
    return answer


FEWER = Fault(reason="invalid", message="", spoilt="fewer")
ENDLESS = Fault(reason="invalid", message="", spoilt="endless")
NO_NUMBER = Fault(reason="invalid", message="", spoilt="null")
WORD = Fault(reason="invalid", message="", spoilt="word")
