"""Secrets never leave: what this process knows to be one is blacked out wherever text is kept.

A secret is the value of a variable with a name such as `API_TOKEN`, the password in an address,
and whatever a runner was given as a token.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from urllib.parse import urlsplit

from planner.printable import printable
from planner.runners import SECRET_NAME

BLACK = "***"
SECRET_CHARS_MIN = 6  # shorter values are words of other texts

_learned: set[str] = set()


def learn(secret: str) -> str:
    """Black this out from now on. Returns it."""
    _learned.update(_parts(secret))
    return secret


def redacted(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """The text without any secret or control character: fit to be kept, and shown anywhere."""
    for secret in known(environment):
        text = text.replace(secret, BLACK)
    return printable(text)


def known(environment: Mapping[str, str] = os.environ) -> list[str]:
    """Every secret, the longest first, because one may be part of another."""
    found = set(_learned)
    for name, value in environment.items():
        if SECRET_NAME.search(name):
            found.update(_parts(value))
        if "://" in value and (password := _password(value)):
            found.update(_parts(password))
    return sorted(found, key=len, reverse=True)


def _parts(secret: str) -> set[str]:
    """The lines of a secret: output is looked at line by line."""
    return {line.strip() for line in secret.splitlines() if len(line.strip()) >= SECRET_CHARS_MIN}


def _password(url: str) -> str | None:
    try:
        return urlsplit(url).password
    except ValueError:
        return None
