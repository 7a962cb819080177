"""What BigQuery and its client raise, said as ours: one line, and what to do next."""

from __future__ import annotations

import concurrent.futures
import re
from collections.abc import Mapping

import requests
from google.api_core.exceptions import GoogleAPICallError, GoogleAPIError, RetryError
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, TransportError

from sql.errors import (
    AccessDenied,
    TableNotFound,
    TooLarge,
    WarehouseError,
    WarehouseRefused,
    WarehouseUnreachable,
)

# Writers of one table that met: the same statement does once the other has ended. Google gives
# them the reasons of a wrong query and of one that is too large
# [https://cloud.google.com/bigquery/docs/troubleshoot-queries].
_CONTENDED = ("could not serialize access", "too many dml statements outstanding")
_LOGIN = "Run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS."

# What a lost connection looks like: google-auth's, requests', a socket's, or a wait that ended.
_LOST = (
    TransportError,
    requests.exceptions.RequestException,
    concurrent.futures.TimeoutError,
    OSError,
)


THEIRS = (GoogleAPIError, GoogleAuthError, *_LOST)
"""Everything that a call of the client raises which is not a mistake of ours."""


def translated(warehouse: str, error: Exception) -> WarehouseError:
    """Our error for one of Google's: Google's message in one line, then what to do next."""
    if isinstance(error, RetryError):
        if isinstance(error.cause, GoogleAPICallError):
            return WarehouseUnreachable(
                f"{warehouse} kept failing until we gave up: {_said(error.cause)} Try again later."
            )
        return translated(warehouse, error.cause or OSError())
    if isinstance(error, GoogleAPICallError):
        kind, advice = _verdict(error)
        return kind(f"{warehouse}: {_said(error)} {advice}".strip())
    if isinstance(error, concurrent.futures.TimeoutError):
        return WarehouseUnreachable(
            f"{warehouse}: the job did not finish in time and was cancelled. Ask for fewer dates."
        )
    if isinstance(error, _LOST):
        return WarehouseUnreachable(f"{warehouse} does not answer: check the network.")
    # What google-auth says may quote an answer with tokens; only a missing file is repeated.
    why = f": {_line(str(error))}" if isinstance(error, DefaultCredentialsError) else "."
    return WarehouseUnreachable(f"{warehouse} has no valid credentials{why} {_LOGIN}")


def _verdict(error: GoogleAPICallError) -> tuple[type[WarehouseError], str]:
    """Which error it is, and the advice. By Google's reason where there is one: the client turns
    a reason it does not know, such as bytesBilledLimitExceeded, into a 500.
    """
    reason, code = _first(error).get("reason", ""), int(error.code or 0)
    if any(words in _said(error).lower() for words in _CONTENDED):
        return WarehouseUnreachable, "Another statement writes the table: try again later."
    match reason or code:
        case "notFound" | 404:
            return TableNotFound, "Check the table's name, its project and its location."
        case "bytesBilledLimitExceeded":
            return TooLarge, "Ask for fewer dates, or raise BACKFILL_MAX_BYTES."
        case "responseTooLarge" | "resourcesExceeded" | 413:
            return TooLarge, "It is too large (413): ask for fewer dates."
        case "accessDenied" | 403:
            return AccessDenied, (
                "Grant roles/bigquery.jobUser on the project and roles/bigquery.dataViewer on the "
                "dataset (dataEditor where steps write)."
            )
        case "quotaExceeded":
            return WarehouseUnreachable, "Wait until the quota is renewed, or ask Google for more."
        case "billingNotEnabled":
            return WarehouseRefused, "Enable billing for the project."
        case "authError" | "required" | 401:
            return WarehouseUnreachable, _LOGIN
        case "stopped" | "timeout":
            return WarehouseUnreachable, "The job was stopped before its end: ask for fewer dates."
        case "rateLimitExceeded" | "jobRateLimitExceeded" | "backendError" | "internalError":
            return WarehouseUnreachable, "Try again later."
    if code >= 500 and code != 501:
        return WarehouseUnreachable, "Try again later."
    if "without a filter over column(s)" in _said(error):
        return WarehouseRefused, "Compare that column with constants in the WHERE clause."
    return WarehouseRefused, ""


def _said(error: GoogleAPICallError) -> str:
    """Google's message alone: without the request's URL, the job's id and the statement."""
    message = _first(error).get("message") or re.sub(
        r"^[A-Z]+ https?://\S+: ", "", str(error.message)
    )
    line = _line(re.sub(r"<style.*?</style>|<[^>]*>", " ", message, flags=re.DOTALL))
    return line if line.endswith((".", "!", "?")) else f"{line}."


def _first(error: GoogleAPICallError) -> Mapping[str, str]:
    errors = error.errors
    return errors[0] if errors and isinstance(errors[0], dict) else {}


def _line(text: str) -> str:
    return " ".join(text.split())
