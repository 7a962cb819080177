"""Redaction: secrets that this process knows are blacked out wherever text is kept.

A secret is the value of a variable with a name such as `API_TOKEN`, or that the pipeline file names
as one; the password in an address; and every token that a runner was given.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from urllib.parse import unquote, urlsplit

from planner.pipeline.runners import SECRET_NAME
from planner.text import printable

BLACK = "***"
SECRET_CHARS_MIN = 6  # shorter values are words of other texts

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
    for secret in known(environment):
        text = text.replace(secret, BLACK)
    return printable(text)


class Redacting(logging.Formatter):
    """Formats as another formatter does, tracebacks included, and redacts secrets."""

    def __init__(self, inner: logging.Formatter | None) -> None:
        super().__init__()
        self._inner = inner or logging.Formatter()

    def format(self, record: logging.LogRecord) -> str:
        return redacted(self._inner.format(record))


def redact_log(logger: logging.Logger) -> None:
    """Make every handler of a logger redact secrets, also those that libraries log."""
    for handler in logger.handlers:
        if not isinstance(handler.formatter, Redacting):
            handler.setFormatter(Redacting(handler.formatter))


def known(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Every secret, the longest first, because one may be part of another."""
    found = set(_learned)
    for name, value in environment.items():
        if SECRET_NAME.search(name):
            found.update(_parts(value))
        if "://" in value and (password := _password(value)):
            found.update(_parts(password), _parts(unquote(password)))
    return sorted(found, key=len, reverse=True)


def _parts(secret: str) -> set[str]:
    """The lines of a secret: output is redacted line by line."""
    return {line.strip() for line in secret.splitlines() if len(line.strip()) >= SECRET_CHARS_MIN}


def _password(url: str) -> str | None:
    try:
        return urlsplit(url).password
    except ValueError:
        return None
