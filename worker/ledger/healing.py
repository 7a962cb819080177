"""The ledger of healing: attempts per date, and dates per day."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import date

import redis

from worker.ledger.keys import PREFIX, date_field, parse_date_field
from worker.ledger.record import reading

DAY_SECONDS = 86_400

Pair = tuple[str, date]


class Healing:
    """The state of healing in Redis, per realm: per pipeline in a warehouse."""

    def __init__(self, client: redis.Redis, realm: str) -> None:
        self._client = client
        self._key = f"{PREFIX}:healing:{realm}"
        self._told = f"{self._key}:told"

    def _reading(self) -> AbstractContextManager[None]:
        return reading(f"what healing remembers ({self._key})")

    def attempts(self) -> dict[Pair, int]:
        """Phase and date → how many runs of healing took it, of dates that are still gaps."""
        with self._reading():
            found: Mapping[str, str] = self._client.hgetall(self._key)  # type: ignore[assignment]
            return {parse_date_field(field): int(count) for field, count in found.items()}

    def took(self, pairs: Iterable[Pair]) -> None:
        """A run takes some phases and dates."""
        pipe = self._client.pipeline()
        for pair in pairs:
            pipe.hincrby(self._key, date_field(*pair), 1)
        pipe.execute()

    def forget(self, pairs: Collection[Pair]) -> None:
        """Forget attempts: the dates are gaps no more, or were released."""
        if pairs:
            fields = [date_field(*pair) for pair in pairs]
            self._client.hdel(self._key, *fields)
            self._client.srem(self._told, *fields)

    def untold(self, pairs: Iterable[Pair]) -> list[Pair]:
        """Those that were not notified yet."""
        with self._reading():
            told = self._client.smembers(self._told)
        return [pair for pair in pairs if date_field(*pair) not in told]

    def note_told(self, pairs: Collection[Pair]) -> None:
        """Note that their quarantine was notified."""
        self._client.sadd(self._told, *(date_field(*pair) for pair in pairs))

    def dates_today(self, today: date) -> int:
        """How many dates runs of healing took on a day."""
        with self._reading():
            return int(self._client.get(f"{self._key}:{today}") or 0)

    def spend(self, today: date, dates: int) -> None:
        """Count dates that a run takes on a day."""
        pipe = self._client.pipeline()
        pipe.incrby(f"{self._key}:{today}", dates)
        pipe.expire(f"{self._key}:{today}", 2 * DAY_SECONDS)
        pipe.execute()
