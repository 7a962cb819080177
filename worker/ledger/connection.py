"""The connection to Redis that the ledger and the leases share.

One per process: a forked worker never shares its parent's. Calls are retried while Redis does not
answer, or answers with a refusal that passes: a planner gives up after about a second, a worker
does not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import redis
from redis.backoff import ExponentialWithJitterBackoff

from planner.address import masked
from planner.errors import Unreachable
from worker.ledger.header import header
from worker.ledger.refusals import PassingRetry, refusal

if TYPE_CHECKING:
    from planner.settings import Settings

LUA = Path(__file__).parent / "lua"

SOCKET_SECONDS = 10.0  # a half-open connection is given up after this
PLANNER_TRIES = 3  # about a second: its user waits
CAUSE_CHARS = 200  # of what a server says, which may be a page of HTML
WORKER_TRIES = (
    100_000  # days: a worker outlives a restart of Redis; its lease says whether it expired
)

GONE = (redis.ConnectionError, redis.TimeoutError, redis.exceptions.BusyLoadingError)


def connect(settings: Settings, *, patient: bool) -> redis.Redis:
    """A client that retries for about a second, or for as long as a worker lives.

    Raises `UsageError` when the embedded Redis is another user's.
    """
    settings.check_socket()
    retry = PassingRetry(
        ExponentialWithJitterBackoff(base=0.1, cap=3.0 if patient else 0.5),
        WORKER_TRIES if patient else PLANNER_TRIES,
        supported_errors=(*GONE, redis.ResponseError),
    )
    return redis.Redis.from_url(
        settings.redis_url,
        **settings.address.tls,
        decode_responses=True,
        socket_timeout=SOCKET_SECONDS,
        socket_connect_timeout=5.0,
        health_check_interval=15,
        retry=retry,
        retry_on_error=list(GONE),
    )


def require(client: redis.Redis, settings: Settings) -> redis.Redis:
    """`client`, if Redis answers. Raises `Unreachable` with what to do."""
    try:
        client.ping()
    except redis.AuthenticationError:
        raise Unreachable(
            f"Redis at {masked(settings.broker_url)} refuses the password: "
            "check BACKFILL_BROKER_URL."
        ) from None
    except redis.RedisError as error:
        if (why := refusal(error)) is not None:
            raise Unreachable(f"{why} ({masked(settings.broker_url)}).") from None
        if settings.is_embedded:
            raise Unreachable(
                "No fleet is running here: start one with `planner up` in another terminal, "
                "or set BACKFILL_BROKER_URL to your Redis."
            ) from None
        raise Unreachable(
            f"Redis at {masked(settings.broker_url)} does not answer "
            f"({_cause(error)}): check BACKFILL_BROKER_URL, and that it runs."
        ) from None
    return client


def forgetful(client: redis.Redis) -> list[tuple[str, str]]:
    """By which settings Redis would lose runs, and what to do; only what it may be asked."""
    found = []
    try:
        policy = client.info("memory").get("maxmemory_policy", "noeviction")
        if policy != "noeviction":
            detail = f"its maxmemory-policy is {policy}: when it is full it drops steps and plans"
            found.append((detail, "let Redis have maxmemory-policy noeviction"))
        is_kept = client.info("persistence").get("aof_enabled") or client.config_get("save")["save"]
        if not is_kept:
            detail = "it writes nothing to its disk: when it restarts it has forgotten every run"
            found.append((detail, "let Redis have appendonly yes"))
    except redis.ResponseError:  # a user who may not ask
        return found
    return found


def _cause(error: redis.RedisError) -> str:
    """The error's class and its text on one line: for a bad certificate the class says nothing."""
    text = masked(" ".join(str(error).split()))[:CAUSE_CHARS].rstrip(".")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def now(client: redis.Redis) -> float:
    """Seconds since the epoch by Redis' clock, the only one that all workers share."""
    seconds, microseconds = client.time()
    return float(seconds) + float(microseconds) / 1e6


@cache
def script_text(name: str) -> str:
    """A script with the header on its first line: both on one, so that line numbers stay."""
    return f"{header()} {(LUA / f'{name}.lua').read_text(encoding='utf-8')}"


@cache
def script_id(name: str) -> str:
    """The hash by which Redis knows a script that it has run before."""
    return hashlib.sha1(script_text(name).encode(), usedforsecurity=False).hexdigest()


def script(client: redis.Redis, name: str) -> Callable[..., Any]:
    """A Lua script of `worker/ledger/lua`: `script(client, "beat")(keys=[…], args=[…])`."""
    registered: Callable[..., Any] = client.register_script(script_text(name))
    return registered


class Connected:
    """Holds the client that a part of the ledger reads and writes through."""

    def __init__(self, client: redis.Redis) -> None:
        self.client = client

    def _hash(self, key: str) -> dict[str, str]:
        return cast("dict[str, str]", self.client.hgetall(key))  # decode_responses


def is_wrong_type(error: Exception) -> bool:
    """Whether Redis refused a command because of the type of its key."""
    return isinstance(error, redis.ResponseError) and "WRONGTYPE" in str(error)
