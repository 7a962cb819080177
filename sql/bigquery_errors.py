"""What BigQuery and its client raise, said as ours: one line, and what to do next."""

from __future__ import annotations

import concurrent.futures
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import requests
from google.api_core.exceptions import GoogleAPICallError, GoogleAPIError, RetryError
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError, TransportError

from sql.errors import (
    AccessDenied,
    BadAnswer,
    TableNotFound,
    TooLarge,
    Unsupported,
    WarehouseError,
    WarehouseRefused,
    WarehouseUnreachable,
)

# Writers of one table that met: the same statement does once the other has ended. Google gives
# them the reasons of a wrong query and of one that is too large
# [https://cloud.google.com/bigquery/docs/troubleshoot-queries].
_CONTENDED = ("due to concurrent update", "too many dml statements outstanding")
# Reason → seconds until it is asked again, and how long that is worth it, as Google names them.
_PATIENCE: Mapping[str, tuple[float, float]] = {
    # "10 minutes or longer" [https://cloud.google.com/bigquery/docs/troubleshoot-quotas]
    "quotaExceeded": (600.0, 7200.0),
    # a full refresh drops a table for minutes
    "notFound": (30.0, 600.0),
    "": (30.0, 1800.0),
}
# Rows cannot be changed for 30 minutes, nor copied for up to 90
# [https://docs.cloud.google.com/bigquery/docs/data-manipulation-language#limitations].
_BUFFERED = "streaming buffer"
_BUFFER_PATIENCE = (300.0, 7200.0)
_LOGIN = "Run `gcloud auth application-default login`, or set GOOGLE_APPLICATION_CREDENTIALS."

# What a lost connection looks like: google-auth's, requests', a socket's, or a wait that ended.
_LOST = (
    TransportError,
    requests.exceptions.RequestException,
    concurrent.futures.TimeoutError,
    OSError,
)


# What Google says of a token that is from the past or the future.
_CLOCK = ("short-lived token", "check your iat and exp", "token used too early")
# Not retried: a login is needed, or the job was stopped on purpose.
_STAYS = ("authError", "required", "stopped", "timeout")

THEIRS = (GoogleAPIError, GoogleAuthError, *_LOST)
"""Everything that a call of the client raises which is no bug of ours."""


@contextmanager
def in_our_words(warehouse: str) -> Iterator[None]:
    """Translate the client's errors into ours, each one line, while the block runs."""
    try:
        yield
    except THEIRS as error:
        raise translated(warehouse, error) from None


def translated(warehouse: str, error: Exception) -> WarehouseError:
    """Our error for one of Google's: Google's message in one line, then what to do next."""
    if isinstance(error, RetryError):
        if isinstance(error.cause, GoogleAPICallError):
            return _patiently(
                WarehouseUnreachable(
                    f"{warehouse} kept failing until we gave up: {_said(error.cause)} "
                    "Try again later."
                ),
                _PATIENCE[""],
            )
        return translated(warehouse, error.cause or OSError())
    if isinstance(error, GoogleAPICallError):
        kind, advice = _verdict(error)
        return _patiently(
            kind(f"{warehouse}: {_said(error)} {advice}".strip()), _waits(error, kind)
        )
    if isinstance(error, concurrent.futures.TimeoutError):
        return WarehouseUnreachable(
            f"{warehouse}: the job did not finish in time and was cancelled. Ask for fewer dates."
        )
    if isinstance(error, _LOST):
        return _unanswered(warehouse, error)
    if any(words in str(error).lower() for words in _CLOCK):
        return WarehouseUnreachable(
            f"{warehouse}: Google refuses the credentials as of another time. This machine's clock "
            "is wrong: set it by NTP."
        )
    # What google-auth says may quote an answer with tokens; only a missing file is repeated.
    why = f": {_line(str(error))}" if isinstance(error, DefaultCredentialsError) else "."
    return WarehouseUnreachable(f"{warehouse} has no valid credentials{why} {_LOGIN}")


def _unanswered(warehouse: str, error: BaseException) -> WarehouseError:
    """That no answer came, and why: by what is below the client's error."""
    if isinstance(error, OSError) and error.filename and error.errno:
        return WarehouseUnreachable(
            f"{warehouse}: {error.filename} cannot be read by user {os.geteuid()}: "
            f"{error.strerror}. Make it readable for that user, or "
            "name another file in GOOGLE_APPLICATION_CREDENTIALS."
        )
    below = " ".join(str(each) for each in _causes(error))
    if "CERTIFICATE_VERIFY_FAILED" in below or "certificate verify failed" in below:
        return WarehouseUnreachable(
            f"{warehouse}: the certificate that answers is not trusted. A proxy may stand between: "
            "name its certificate in REQUESTS_CA_BUNDLE."
        )
    if isinstance(error, requests.exceptions.JSONDecodeError):
        return BadAnswer(f"{warehouse} answers what is no JSON. A proxy may stand between.")
    if isinstance(error, TransportError):
        found = re.search(r"host='([\w.-]+)'", below)
        server = f" ({found[1]})" if found else ""
        return _patiently(
            WarehouseUnreachable(
                f"{warehouse}: the server that gives out tokens{server} does not answer. Check the "
                "network, and the proxy's rules for it."
            ),
            _PATIENCE[""],
        )
    return _patiently(
        WarehouseUnreachable(f"{warehouse} does not answer: check the network."), _PATIENCE[""]
    )


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _patiently(error: WarehouseError, waits: tuple[float, float]) -> WarehouseError:
    error.pause_seconds, error.patience_seconds = waits
    return error


def _waits(error: GoogleAPICallError, kind: type[WarehouseError]) -> tuple[float, float]:
    """The pause before it is asked again, and how long that is worth it; zeros where it is not."""
    if _BUFFERED in _said(error).lower():
        return _BUFFER_PATIENCE
    if kind is TableNotFound:
        return _PATIENCE["notFound"]
    if kind is not WarehouseUnreachable or reason_of(error) in _STAYS:
        return 0.0, 0.0
    return _PATIENCE.get(reason_of(error), _PATIENCE[""])


_Verdict = tuple[type[WarehouseError], str]

_LATER: _Verdict = (WarehouseUnreachable, "Try again later.")
_VERDICTS: tuple[tuple[set[str | int], _Verdict], ...] = (
    (
        {"notFound", 404},
        (
            TableNotFound,
            "Check the table's name, its project and its location: BACKFILL_LOCATION is where "
            "jobs run, and tables of two locations are not read in one statement.",
        ),
    ),
    (
        {"bytesBilledLimitExceeded"},
        (TooLarge, "Ask for fewer dates, or raise BACKFILL_MAX_BYTES."),
    ),
    (
        {"responseTooLarge", "resourcesExceeded", 413},
        (TooLarge, "It is too large (413): ask for fewer dates."),
    ),
    (
        {"accessDenied", 403},
        (
            AccessDenied,
            "Grant roles/bigquery.jobUser on the project and roles/bigquery.dataViewer on the "
            "dataset (dataEditor where steps write).",
        ),
    ),
    (
        {"quotaExceeded"},
        (WarehouseUnreachable, "Wait until the quota is renewed, or ask Google for more."),
    ),
    ({"billingNotEnabled"}, (WarehouseRefused, "Enable billing for the project.")),
    ({"authError", "required", 401}, (WarehouseUnreachable, _LOGIN)),
    (
        {"stopped", "timeout"},
        (WarehouseUnreachable, "The job was stopped before its end: ask for fewer dates."),
    ),
    ({"rateLimitExceeded", "jobRateLimitExceeded", "tableUnavailable"}, _LATER),
    ({"backendError", "internalError", "jobBackendError", "jobInternalError"}, _LATER),
)
"""Google's reason, or the HTTP status without one → the error that it is, and the advice."""


def _verdict(error: GoogleAPICallError) -> _Verdict:
    """Which error it is, and the advice. By Google's reason where there is one: the client turns
    a reason it does not know, such as bytesBilledLimitExceeded, into a 500.
    """
    reason, code = reason_of(error), int(error.code or 0)
    if _BUFFERED in _said(error).lower():
        return WarehouseUnreachable, "Rows that are streamed in cannot be changed for 30 minutes."
    if any(words in _said(error).lower() for words in _CONTENDED):
        return WarehouseUnreachable, "Another statement writes the table: try again later."
    known = next((verdict for keys, verdict in _VERDICTS if (reason or code) in keys), None)
    if known is not None:
        return known
    if code == 408 or (code >= 500 and code != 501):
        return _LATER
    if "attempted to read too many tables" in _said(error):
        return Unsupported, (
            "A dataset of more than 1,000 tables has no records that can be read: counts alone "
            "decide there."
        )
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


def reason_of(error: GoogleAPICallError) -> str:
    """Google's reason; empty where it gives none."""
    return str(_first(error).get("reason", ""))


def _first(error: GoogleAPICallError) -> Mapping[str, str]:
    errors = error.errors
    return errors[0] if errors and isinstance(errors[0], dict) else {}


def _line(text: str) -> str:
    return " ".join(text.split())
