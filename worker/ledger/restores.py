"""The ledger of restores: when each was begun, by whom, and how it ended.

    restores             sorted set   restore id → when it was begun
    restores:ID          string       `RestoreRecord`, JSON
    restores:ID:owner    string       the process that is at it; it expires when that beats no more

A restore is noted before it writes: one whose process was killed is told as interrupted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any

from pydantic import Field

from planner.data import Data
from planner.errors import BadRecord
from planner.pipeline.model import RunId
from planner.plan.command import Command
from planner.plan.states import RestoreState
from planner.report.restored import Restored, RestoreReport
from worker.ledger.connection import Connected, now
from worker.ledger.keys import RESTORES, restore_key
from worker.ledger.record import Moment, reading
from worker.processes.identity import is_dead, owner

KEEP_SECONDS = 30 * 86_400  # as long as an ended run
AGAIN = r"^planner restore [A-Za-z0-9_-]+( --phase [a-z0-9_-]+)?( --dates [0-9.,-]+)?( --over)?$"
"""People copy it into a shell, so it is that command, and no other."""

log = logging.getLogger(__name__)


def _log(error: BadRecord) -> None:
    log.warning("%s", error)


class RestoreRecord(Data):
    """What the ledger knows of a restore."""

    id: RunId
    run_id: RunId
    pipeline: str
    tables: int
    """How many are put back, each by a commit of its own."""
    begun: Moment
    """Seconds since the epoch, by Redis' clock."""
    again: Annotated[str, Field(pattern=AGAIN)]
    """The command that begins it again."""
    asked: Command | None = None
    state: RestoreState = RestoreState.RUNNING
    ended: Moment | None = None
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
        """A restore; None when Redis does not hold it (any more). Raises `BadRecord`."""
        (found,) = self._read([restore_id])
        if isinstance(found, BadRecord):
            raise found
        return found

    def restores(self, on_bad: Callable[[BadRecord], None] = _log) -> list[RestoreRecord]:
        """Every restore that Redis still holds, newest first.

        One that cannot be read is told to `on_bad`, and passed over.
        """
        with reading("the list of restores"):
            after = now(self.client) - KEEP_SECONDS
            listed = self.client.zrevrangebyscore(RESTORES, "+inf", after)
        found = list(self._read([str(each) for each in listed]))
        for record in found:
            if isinstance(record, BadRecord):
                on_bad(record)
        return [record for record in found if isinstance(record, RestoreRecord)]

    def _read(self, ids: Sequence[str]) -> Iterator[RestoreRecord | BadRecord | None]:
        keys = [key for each in ids for key in (restore_key(each), restore_key(each, "owner"))]
        found: list[Any]
        try:
            found = self.client.mget(keys) if keys else []
        except UnicodeDecodeError as error:  # one of them is not UTF-8, and the client answers none
            if len(ids) > 1:
                for each in ids:
                    yield from self._read([each])
                return
            found = [error, None]
        for each, text, by in zip(ids, found[::2], found[1::2], strict=True):
            yield _record(each, text, by)


def _record(restore_id: str, text: object, by: object) -> RestoreRecord | BadRecord | None:
    try:
        with reading(restore_id):
            if isinstance(text, Exception):
                raise text
            return None if text is None else _as_it_is(restore_id, str(text), by)
    except BadRecord as error:
        return error


def _as_it_is(restore_id: str, text: str, by: object) -> RestoreRecord:
    record = RestoreRecord.model_validate_json(text)
    if restore_id != record.id or (record.report and record.report.restore_id != record.id):
        raise ValueError(f"it is of {record.id}")
    is_gone = by is None or is_dead(str(by))
    if record.state is RestoreState.RUNNING and is_gone:
        return record.model_copy(update={"state": RestoreState.INTERRUPTED})
    return record
