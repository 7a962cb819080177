"""Staging: what a run is registered with is written in batches first, under keys that expire.

Redis does one thing at a time, so one call that writes down a plan of 100,000 chunks keeps every
worker waiting for seconds. What is staged is nothing yet: `register.lua` gives it its names and
holds the dates, in one short call. A planner that dies before leaves keys that expire.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

import redis

from worker.ledger.keys import PREFIX, run_key

STAGED_SECONDS = 600  # since the last batch: then the planner is gone
AT_ONCE = 500  # fields per call: chunks take a kB or two each


class Staging:
    """The parts of a run that is to be registered."""

    def __init__(self, client: redis.Redis, run_id: str) -> None:
        self._client, self._run_id = client, run_id
        self.sizes: dict[str, int] = {}
        """Part → how many fields it has: 1 of a text."""

    def put_text(self, part: str, text: str) -> None:
        """Stage a part that is a text."""
        self._client.set(self._key(part), text, ex=STAGED_SECONDS)
        self.sizes[part] = 1

    def put(self, part: str, fields: Mapping[str, str]) -> None:
        """Stage a part that is a hash."""
        for batch in _batches(fields):
            pipe = self._client.pipeline(transaction=False)
            pipe.hset(self._key(part), mapping=batch)  # type: ignore[arg-type]
            for each in (*self.sizes, part):
                pipe.expire(self._key(each), STAGED_SECONDS)
            pipe.execute()
        self.sizes[part] = len(fields)

    @property
    def keys(self) -> list[str]:
        """Of each part, in order: the key where it is staged, and that of the run."""
        own = {part: run_key(self._run_id, part) for part in self.sizes}
        return [key for part in own for key in (self._key(part), own[part])]

    def drop(self) -> None:
        """Take it away, if it is still staged."""
        self._client.unlink(*self.keys[::2])

    def _key(self, part: str) -> str:
        return f"{PREFIX}:staged:{self._run_id}:{part}"


def _batches(fields: Mapping[str, str]) -> Iterator[dict[str, str]]:
    pairs = iter(fields.items())
    while batch := dict(islice(pairs, AT_ONCE)):
        yield batch
