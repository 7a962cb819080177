"""A Redis that answers with a refusal that passes: full, read-only, without its disk or primary.

For the ledger it is what a lost connection is: the call is made again, on a new connection, since
after a failover the address may be that of another server.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import redis
from redis.retry import Retry

REFUSALS: Mapping[str, str] = {
    "READONLY": "Redis is a read-only replica: wait until the failover has ended, or let "
    "BACKFILL_BROKER_URL name the primary",
    "OOM": "Redis is full: raise its maxmemory",
    "MISCONF": "Redis cannot save to its disk: make room there, and see Redis's log",
    "MASTERDOWN": "Redis is a replica that has lost its primary: start that, or promote this one",
    "NOREPLICAS": "Redis has too few replicas to be written to: start them, or lower its "
    "min-replicas-to-write",
    "UNBLOCKED": "Redis has ended a blocking call, as it does when it becomes a replica",
    "BUSY": "Redis is busy with a script: end it with SCRIPT KILL",
    "CLUSTERDOWN": "the Redis cluster is down",
    "TRYAGAIN": "Redis moves keys to another server",
}
"""Redis's word for a refusal that passes → what it means, and what to do."""

# Redis before 7 quotes what a script was refused, after a minus sign.
_WORD = re.compile(rf"(?:^|-)({'|'.join(REFUSALS)})\b")


def refusal(error: BaseException) -> str | None:
    """What a transient refusal of Redis means, and what to do; None for every other error."""
    if not isinstance(error, redis.ResponseError):
        return None
    code = getattr(error, "status_code", None)
    if code in REFUSALS:
        return REFUSALS[str(code)]
    found = _WORD.search(str(error))
    return REFUSALS[found[1]] if found else None


class PassingRetry(Retry):
    """Retries lost connections, and transient refusals."""

    def call_with_retry(
        self,
        do: Callable[[], Any],
        fail: Callable[..., Any],
        is_retryable: Callable[[Exception], bool] | None = None,
        with_failure_count: bool = False,
    ) -> Any:
        """As `Retry` does it."""

        def passes(error: Exception) -> bool:
            if isinstance(error, redis.ResponseError) and refusal(error) is None:
                return False
            return is_retryable is None or is_retryable(error)

        return super().call_with_retry(do, fail, passes, with_failure_count)
