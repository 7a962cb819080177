"""Tokens and keys for services: read where the step runs, kept until shortly before they expire.

Google's library is imported only where it is used.
"""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

import httpx

from planner.address import masked
from planner.files import read_capped
from planner.pipeline.runners import Secret
from worker.processes.children import signal_group, start_process
from worker.processes.secrets import learn
from worker.runners.environment import Unset, expand

KEEP_SECONDS = 1800.0  # for a token that does not say when it expires
EARLY_SECONDS = 300.0  # a token this close to its end is not used any more
COMMAND_SECONDS = 60.0  # for a command to print a token
SECRET_BYTES = 64_000  # more is no token: headers end at 64 kB, and files may have no end


class NoSecret(Exception):
    """A secret cannot be read. The message says where it was looked for, and never holds it."""


class NoSecretNow(NoSecret):
    """The source of a secret does not answer, or has none at present: a retry may help."""


@dataclass(frozen=True, kw_only=True)
class _Kept:
    value: str
    until: float
    """By the clock of the machine."""


_kept: dict[tuple[Secret, str], _Kept] = {}
_lock = threading.Lock()


def read(secret: Secret, url: str, *, fresh: bool = False) -> str:
    """The secret's value; `fresh` when the one that is kept was refused.

    Raises `NoSecret`, and `NoSecretNow` when a retry may help.
    """
    key = (secret, url)
    with _lock:
        kept = _kept.get(key)
        if kept is None or fresh or time.time() > kept.until - EARLY_SECONDS:
            value = learn(_look(secret, url))
            kept = _kept[key] = _Kept(value=value, until=_expiry(value))
        if not (secret.command or secret.google):
            del _kept[key]  # cheap to read again, and may have been replaced
        return kept.value


def _look(secret: Secret, url: str) -> str:
    if secret.env is not None:
        value, where = os.environ.get(secret.env, ""), f"the variable {secret.env}"
    elif secret.file is not None:
        value, where = _from_file(secret.file)
    elif secret.command:
        value, where = _from_command(secret.command)
    else:
        value, where = _from_google(secret.audience or url)
    value = value.strip()
    wrong = NoSecretNow if secret.command or secret.google else NoSecret
    if not value:
        raise wrong(f"there is no token in {where}")
    if not value.isascii() or not value.isprintable():
        raise wrong(f"what is in {where} is no token: it has more than one line")
    return value


def _from_file(name: str) -> tuple[str, str]:
    try:
        path = Path(expand(name)).expanduser()
        if not path.is_file():  # a pipe may never say anything
            raise NoSecret(f"{name} cannot be read: there is no such file")
        return read_capped(path, SECRET_BYTES).decode("utf-8"), f"the file {path}"
    except Unset as error:
        raise NoSecret(str(error)) from None
    except UnicodeDecodeError:
        raise NoSecret(f"{name} holds no token: it is not text") from None
    except OSError as error:
        raise NoSecret(f"{name} cannot be read: {error.strerror}") from None


def _from_command(command: tuple[str, ...]) -> tuple[str, str]:
    where = f"the output of {command[0]}"
    try:
        process = start_process(
            [expand(part) for part in command],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
    except Unset as error:
        raise NoSecret(str(error)) from None
    except OSError as error:
        raise NoSecretNow(f"{command[0]} gives no token: {error.strerror}") from None
    deadline = time.monotonic() + COMMAND_SECONDS  # before the timer, which never fires early then
    late = threading.Timer(COMMAND_SECONDS, _end, [process])
    late.start()
    try:
        with process:
            assert process.stdout is not None
            printed = process.stdout.read(SECRET_BYTES + 1)
            if len(printed) > SECRET_BYTES:
                _end(process)
                raise NoSecretNow(f"{command[0]} gives no token: it prints more than any has")
            code = process.wait()
    finally:
        late.cancel()
    is_late = time.monotonic() >= deadline
    if code or is_late:
        how = f"exit code {code}" if code > 0 else f"ended by signal {-code}"
        if is_late:
            how = f"it, or a process it left, takes longer than {COMMAND_SECONDS:g} s"
        raise NoSecretNow(f"{command[0]} gives no token: {how}")
    try:
        return printed.decode("utf-8"), where
    except UnicodeDecodeError:
        raise NoSecretNow(f"{command[0]} gives no token: what it prints is not text") from None


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a command and all it started: each could hold its output open."""
    signal_group(process.pid, signal.SIGKILL)


def _from_google(audience: str) -> tuple[str, str]:
    from google.auth.exceptions import GoogleAuthError
    from google.auth.transport.requests import Request
    from google.oauth2 import id_token

    try:
        token = id_token.fetch_id_token(Request(), audience)  # type: ignore[no-untyped-call]
    except (GoogleAuthError, LookupError, ValueError) as error:  # the last two: a malformed answer
        raise NoSecretNow(
            f"Google gives no identity token for {masked(audience)}: {type(error).__name__}. Set "
            "GOOGLE_APPLICATION_CREDENTIALS to a service account's key, or use the command "
            "`gcloud auth print-identity-token`"
        ) from None
    return str(token), "Google's credentials"


def _expiry(token: str) -> float:
    """When a JSON Web Token ends; a while from now for any other."""
    try:
        claims = token.split(".")[1]
        content = json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))
        return float(content["exp"])
    except (IndexError, KeyError, TypeError, ValueError, RecursionError):
        return time.time() + KEEP_SECONDS + EARLY_SECONDS


class Auth(httpx.Auth):
    """Puts the token and the key into every request; asks for new ones once when refused."""

    def __init__(self, url: str, *, token: Secret | None, api_key: Secret | None) -> None:
        self._url, self._token, self._api_key = url, token, api_key

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        self._sign(request, fresh=False)
        response = yield request
        if response.status_code == httpx.codes.UNAUTHORIZED and (self._token or self._api_key):
            self._sign(request, fresh=True)
            yield request

    def _sign(self, request: httpx.Request, *, fresh: bool) -> None:
        if self._token is not None:
            token = read(self._token, self._url, fresh=fresh)
            request.headers["Authorization"] = f"Bearer {token}"
        if self._api_key is not None:
            request.headers["X-API-Key"] = read(self._api_key, self._url, fresh=fresh)
