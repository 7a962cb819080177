"""The broker's address, read once and strictly, so that it means the same to every library.

Celery, kombu and redis-py each read addresses in their own way. kombu takes `rediss://` without
options for TLS that verifies no certificate. So the options are taken off the address here, and
each of the three is given the same ones.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from planner.text import nearest

EMBEDDED = "embedded"
SCHEMES = ("redis", "rediss", "unix")
FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
VERIFY: Mapping[str, ssl.VerifyMode] = {
    "required": ssl.CERT_REQUIRED,
    "optional": ssl.CERT_OPTIONAL,
    "none": ssl.CERT_NONE,
}
CHECK: Mapping[str, bool] = {"true": True, "false": False}
OPTIONS = (*FILES, "ssl_password", "ssl_cert_reqs", "ssl_check_hostname")
"""What may stand behind the `?` of `rediss://`."""

_KEYWORD = re.compile(  # as in `Uid=me;Pwd=…;` and `?password=…`
    r"(?i)((?:\b|_)(?:pass|passwd|password|pwd|secret|(?:\w*_)?token|\w*accesskey|accountkey)\s*=\s*)"
    r"(\{[^}]*\}|'[^']*'|\"[^\"]*\"|[^;&\s]+)"
)
_TOKEN_ALONE = ("redis", "rediss", "http", "https")
"""In these `//NAME@` without a password is more often a token than a user."""


@dataclass(frozen=True, kw_only=True)
class Address:
    """Where Redis is."""

    url: str
    """`redis://…`, `rediss://…` or `unix://…`, without options."""
    tls: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """Arguments of redis-py's TLS connection; none without TLS."""


def parse_address(text: str) -> Address:
    """Read an address. Raises `ValueError` that says what is wrong, and never holds a password."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise ValueError("it is no address: its host or port cannot be read") from None
    if parts.scheme not in SCHEMES:
        raise ValueError(
            "write redis://host:6379/0, rediss://host:6380/0 (TLS), unix:///PATH, or embedded"
        )
    if parts.fragment or "#" in text:
        raise ValueError("a # in a password is written %23")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if parts.scheme == "unix":
        if not parts.path.startswith("/") or parts.hostname:
            raise ValueError("a socket is named by its whole path: unix:///run/redis.sock")
    else:
        if not parts.hostname or port == 0:
            raise ValueError(f"it names no host or port: {parts.scheme}://host:6379/0")
        database = parts.path.removeprefix("/")
        if database and not (database.isascii() and database.isdigit()):
            raise ValueError("after the host stands a database's number, such as /0")
    if options and parts.scheme != "rediss":
        raise ValueError(f"options are for rediss://, and this is {parts.scheme}://")
    return Address(
        url=text.partition("?")[0], tls=_tls(options) if parts.scheme == "rediss" else {}
    )


def _tls(options: Mapping[str, str]) -> dict[str, Any]:
    """Without options: the server's certificate, and its name in it, are verified."""
    tls: dict[str, Any] = {}
    for name, value in options.items():
        if name not in OPTIONS:
            raise ValueError(f"unknown option {name!r}; {nearest(name, OPTIONS)}")
        if name in FILES and not Path(value).is_file():
            raise ValueError(f"{name}: there is no file {value!r}")
        tls[name] = value
    tls["ssl_cert_reqs"] = _one_of(VERIFY, options, "ssl_cert_reqs", "required")
    tls["ssl_check_hostname"] = _one_of(CHECK, options, "ssl_check_hostname", "true")
    return tls


def _one_of(known: Mapping[str, Any], options: Mapping[str, str], name: str, usual: str) -> Any:
    value = options.get(name, usual).lower()
    if value not in known:
        raise ValueError(f"{name} is one of {', '.join(known)}")
    return known[value]


def passwords_in(text: str) -> Iterator[str]:
    """The passwords in an address or a list of `name=value`, as they stand there and as meant."""
    for _, value in _KEYWORD.findall(text):
        yield from (value, value.strip("{}'\""), unquote(value))
    if "://" not in text:
        return
    try:
        parts = urlsplit(text.strip())
    except ValueError:
        return
    password = parts.password
    if password is None and parts.scheme in _TOKEN_ALONE:
        password = parts.username
    if password:
        yield from (password, unquote(password))


def masked(url: str) -> str:
    """An address without its password."""
    # To the last @: an address that was refused is shown too, and may hold any sign unescaped.
    shown = re.sub(r"(?s)//([^:@/]*):.*@", r"//\1:***@", url)
    shown = re.sub(rf"((?:{'|'.join(_TOKEN_ALONE)})://)[^:@/]+@", r"\1***@", shown)
    return _KEYWORD.sub(r"\1***", shown)
