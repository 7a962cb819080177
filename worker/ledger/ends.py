"""The ledger of runs' ends: concluded, given up, and forgotten a month later."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, cast

import redis

from planner.plan.states import RUN_ENDED, RunState
from worker.ledger.connection import Connected, now, script
from worker.ledger.keys import RUNS, held_key, is_run_id, run_key, step_key
from worker.ledger.record import MISMATCHES, RunEnding, RunRecord

KEEP_SECONDS = 30 * 86_400  # ended runs can be reported on for a month
KEYS_AT_ONCE = 1000  # per SCAN, and per round trip


class EndLedger(Connected):
    """Writes how runs end."""

    def conclude(
        self, run_id: str, state: RunState, ending: RunEnding, *, report: str, endings: int
    ) -> bool:
        """End a run with its report, and free its dates; False when it has ended, or was retried.

        A compare-and-set on `endings`, the finalizations before this one: a finalization that was
        counted before a retry does not end the retry.
        """
        found = cast("list[Any]", self.client.hmget(run_key(run_id), "realm", "pipeline"))
        of_steps, own = self._split_keys(run_id)
        ended = script(self.client, "conclude")(
            keys=[
                run_key(run_id),
                held_key(str(found[0] or found[1] or "")),
                run_key(run_id, "dates"),
                run_key(run_id, "report"),
                run_key(run_id, "steps"),
                *own,
            ],
            args=[
                run_id,
                state,
                json.dumps(ending.as_hash()),
                report,
                str(endings),
                KEEP_SECONDS,
            ],
        )
        if ended:
            self._let_expire(run_id, of_steps)
        return bool(ended)

    def lose(self, run: RunRecord, why: str, *, report: str) -> bool:
        """End a run as failed, and free its dates; False when it has ended."""
        named = [run_key(run.id), held_key(run.realm or run.pipeline), run_key(run.id, "report")]
        of_steps, own = self._split_keys(run.id)
        args = [run.id, why, KEEP_SECONDS, report]
        ended = bool(script(self.client, "lose")(keys=[*named, *own], args=args))
        if ended:
            self._let_expire(run.id, of_steps)
        return ended

    def forget_expired(self) -> None:
        """Take runs off the list that have expired, and what is left of them."""
        before = now(self.client) - KEEP_SECONDS
        ids = [str(run_id) for run_id in self.client.zrangebyscore(RUNS, 0, before)]
        gone = [run_id for run_id in ids if not self.client.exists(run_key(run_id))]
        for run_id in gone:  # a process that died may have set the expiry of some keys alone
            for batch in _batches(keys_of(self.client, run_id)):
                self.client.unlink(*batch)
        if gone:
            self.client.zrem(RUNS, *gone)

    def note_end_waits(self, run_id: str, what: str, *, config_mismatch: bool = False) -> int:
        """Write down what a run's end waits for; config mismatches in a row, this one included."""
        pipe = self.client.pipeline(transaction=False)
        pipe.hset(run_key(run_id), "note", what)
        if config_mismatch:
            pipe.hincrby(run_key(run_id), MISMATCHES, 1)
        else:
            pipe.hset(run_key(run_id), MISMATCHES, 0)
        answers = pipe.execute()
        return int(answers[1]) if config_mismatch else 0

    def note_end_failed(self, run_id: str) -> int:
        """Count a finalization that ended in an unexpected error; how many by now."""
        return int(self.client.hincrby(run_key(run_id), "endings_failed", 1))

    def _let_expire(self, run_id: str, keys: Sequence[str]) -> None:
        """Let the keys of an ended run's steps expire with it, in batches: there may be many. One
        that is tried again meanwhile keeps them."""
        for batch in _batches(keys):
            pipe = self.client.pipeline(transaction=False)
            for key in batch:
                pipe.expire(key, KEEP_SECONDS)
            pipe.execute()
        if self.client.hget(run_key(run_id), "state") in {*RUN_ENDED, None}:
            return
        for batch in _batches(keys):
            pipe = self.client.pipeline(transaction=False)
            for key in batch:
                pipe.persist(key)
            pipe.execute()

    def _split_keys(self, run_id: str) -> tuple[list[str], list[str]]:
        """The keys of a run's steps, which are many, and its others."""
        found: tuple[list[str], list[str]] = ([], [])
        for key in keys_of(self.client, run_id):
            found[not key.startswith(step_key(run_id, ""))].append(key)
        return found


def keys_of(client: redis.Redis, run_id: str) -> list[str]:
    """Every key that a run has, and none of a run whose id begins as its own."""
    if not is_run_id(run_id):  # it could be a pattern
        return []
    parts = client.scan_iter(run_key(run_id, "*"), count=KEYS_AT_ONCE)
    return [run_key(run_id), *parts]


def _batches(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(keys), KEYS_AT_ONCE):
        yield keys[first : first + KEYS_AT_ONCE]
