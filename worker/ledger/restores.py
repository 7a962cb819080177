"""The ledger of restores: when each was begun, by whom, and how it ended.

    restores             sorted set   restore id → when it was begun
    restores:ID          string       `RestoreRecord`, JSON
    restores:ID:owner    string       the process that is at it; it expires when that beats no more

A restore is noted before it writes: one whose process was killed is told as interrupted.
"""

from __future__ import annotations

from collections.abc import Sequence

from planner.data import Data
from planner.plan.command import Command
from planner.plan.states import RestoreState
from planner.report.restored import Restored, RestoreReport
from worker.ledger.connection import Connected, now
from worker.ledger.keys import RESTORES, restore_key
from worker.ledger.record import reading
from worker.processes.identity import is_dead, owner

KEEP_SECONDS = 30 * 86_400  # as long as an ended run


class RestoreRecord(Data):
    """What the ledger knows of a restore."""

    id: str
    run_id: str
    pipeline: str
    tables: int
    """How many are put back, each by a commit of its own."""
    begun: float
    """Seconds since the epoch, by Redis' clock."""
    again: str
    """The command that begins it again."""
    asked: Command | None = None
    state: RestoreState = RestoreState.RUNNING
    ended: float | None = None
    why: str = ""
    """Why it failed."""
    done: tuple[Restored, ...] = ()
    """Tables that are put back so far."""
    report: RestoreReport | None = None
    """None unless it is restored."""

    @property
    def advice(self) -> str:
        """What to do about one that did not end well; empty for others."""
        if self.state not in (RestoreState.INTERRUPTED, RestoreState.FAILED):
            return ""
        why = self.why or "Its process is gone"
        return (
            f"{why.removesuffix('.')}. No table is half restored; what is left is put back with "
            f"`{self.again}`."
        )


class RestoreLedger(Connected):
    """Reads and writes restores."""

    def note_restore(self, record: RestoreRecord) -> None:
        """Note how a restore stands, in place of what was noted of it before."""
        pipe = self.client.pipeline()
        pipe.set(restore_key(record.id), record.model_dump_json(), ex=KEEP_SECONDS)
        pipe.zadd(RESTORES, {record.id: record.begun})
        pipe.zremrangebyscore(RESTORES, 0, record.begun - KEEP_SECONDS)
        pipe.execute()

    def beat_restore(self, restore_id: str, *, seconds: float) -> None:
        """Note that this process is at a restore, for so long."""
        self.client.set(restore_key(restore_id, "owner"), owner(), px=max(1, round(seconds * 1000)))

    def restore(self, restore_id: str) -> RestoreRecord | None:
        """A restore; None when Redis does not hold it (any more)."""
        found = self._restores([restore_id])
        return found[0] if found else None

    def restores(self) -> list[RestoreRecord]:
        """Every restore that Redis still holds, newest first."""
        with reading("the list of restores"):
            after = now(self.client) - KEEP_SECONDS
            listed = self.client.zrevrangebyscore(RESTORES, "+inf", after)
        return self._restores([str(each) for each in listed])

    def _restores(self, ids: Sequence[str]) -> list[RestoreRecord]:
        if not ids:
            return []
        keys = [key for each in ids for key in (restore_key(each), restore_key(each, "owner"))]
        with reading("restores"):
            found = self.client.mget(keys)
            pairs = zip(found[::2], found[1::2], strict=True)
            return [_record(str(text), of) for text, of in pairs if text is not None]


def _record(text: str, by: object) -> RestoreRecord:
    record = RestoreRecord.model_validate_json(text)
    is_gone = by is None or is_dead(str(by))
    if record.state is RestoreState.RUNNING and is_gone:
        return record.model_copy(update={"state": RestoreState.INTERRUPTED})
    return record
