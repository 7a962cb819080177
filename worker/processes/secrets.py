"""Redaction: secrets that this process knows are blacked out wherever text is kept.

A secret is the value of a variable with a name such as `API_TOKEN`, or that the pipeline file names
as one; the password in an address; and every token that a runner was given.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import unquote

from planner.address import passwords_in
from planner.pipeline.runners import SECRET_NAME
from planner.text import printable
from worker.processes.forms import SECRET_CHARS_MIN, blacken, forms_of

# Beside the names whose values a pipeline file may not hold: such as SMTP_PASS and GITHUB_PAT. PWD
# and OLDPWD are folders.
_ALSO_SECRET = re.compile(r"PASSPHRASE|_PWD$|(^|_)(PASS|PAT)(_|$)", re.IGNORECASE)
WORDS = frozenset({"false", "never", "always", "optional", "required", "disabled", "enabled"})
"""Settings, not secrets: they stand in other texts."""

_learned: set[str] = set()


def learn(secret: str) -> str:
    """Redact this from now on. Returns it."""
    _learned.update(_parts(secret))
    return secret


def learn_named(names: Iterable[str]) -> None:
    """Redact what these variables hold, even when their names do not look secret."""
    for name in names:
        learn(os.environ.get(name, ""))


def redacted(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """The text without any secret or control character: fit to be kept and shown."""
    return printable(blacken(text, known(environment)))


class Redacting(logging.Formatter):
    """Formats as another formatter does, tracebacks included, and redacts secrets. One record is
    one line, and those set in below it."""

    def __init__(self, inner: logging.Formatter | None) -> None:
        super().__init__()
        self._inner = inner or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        # What others say may have lines that look like a log's own: those are set in.
        return redacted(self._inner.format(record)).replace("\n", "\n    ")


def redact_log(logger: logging.Logger) -> None:
    """Make every handler of a logger redact secrets, also those that libraries log."""
    for handler in logger.handlers:
        if not isinstance(handler.formatter, Redacting):
            handler.setFormatter(Redacting(handler.formatter))


def known(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Every secret, in each form that it can have in text."""
    found = set(_learned)
    for name, value in environment.items():
        if SECRET_NAME.search(name) or _ALSO_SECRET.search(name):
            found.update(_parts(value))
        for password in (*passwords_in(value), *(_in_headers(value) if _is_headers(name) else ())):
            found.update(_parts(password))
    return forms_of(found)


def _is_headers(name: str) -> bool:
    """Whether a variable holds headers of requests, such as `OTEL_EXPORTER_OTLP_HEADERS`."""
    return name.upper().endswith("_HEADERS")


def _in_headers(value: str) -> Iterator[str]:
    """The values of `name=value,…`, which are URL-encoded, and a token without its `Bearer`."""
    for header in value.split(","):
        _, is_named, value_of = header.partition("=")
        told = unquote(value_of if is_named else header).strip()
        yield from (told, told.rpartition(" ")[2])


def _parts(secret: str) -> set[str]:
    """The lines of a secret: output is redacted line by line."""
    lines = {line.strip() for line in secret.splitlines()}
    return {line for line in lines if len(line) >= SECRET_CHARS_MIN and line.lower() not in WORDS}
