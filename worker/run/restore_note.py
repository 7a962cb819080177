"""What is noted of a restore: in the ledger, in the history, and in files."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial

from redis.exceptions import RedisError

from planner.plan.states import RestoreState
from planner.report.commands import write_commands
from planner.report.history import write_restore
from planner.report.message import restore_ended
from planner.report.restored import Restored, RestoreReport, restore_lines
from sql import TableNotFound, WarehouseError
from worker.context import Context
from worker.finalization.report_files import write_restore_report
from worker.ledger.lease import Lease
from worker.ledger.record import RunRecord
from worker.ledger.restores import RestoreRecord
from worker.notify import notify
from worker.processes.secrets import redacted

log = logging.getLogger(__name__)


Follow = Callable[[RestoreRecord], None]
"""Is shown how a restore stands, each time that it is noted."""


@dataclass(kw_only=True)
class Noted:
    """A restore that is under way, as the ledger knows it."""

    context: Context
    record: RestoreRecord
    follow: Follow

    def note(self, **changes: object) -> None:
        """Note how it stands now."""
        self.record = self.record.model_copy(update=changes)
        self.context.ledger.note_restore(self.record)
        self.follow(self.record)

    def put_back(self, table: Restored) -> None:
        """Note that one more table holds what it held."""
        self.note(done=(*self.record.done, table))

    def end(self, report: RestoreReport) -> None:
        """Note that every table does."""
        self.note(state=RestoreState.RESTORED, ended=report.ended, report=report)


@contextmanager
def noted(context: Context, record: RestoreRecord, lease: Lease, follow: Follow) -> Iterator[Noted]:
    """While the block writes, the ledger knows of the restore, and that this process is at it; of a
    block that fails, why, which people are told."""
    ledger = context.ledger
    seconds = 2 * context.settings.lease_seconds
    lease.on_beat = partial(ledger.beat_restore, record.id, seconds=seconds)
    lease.on_beat()
    noting = Noted(context=context, record=record, follow=follow)
    noting.note()
    if record.asked is not None:
        ledger.note_command(record.run_id, record.asked)
    try:
        yield noting
    except BaseException as error:
        with suppress(RedisError):  # it is then shown as interrupted
            why = redacted(str(error)) or type(error).__name__
            noting.note(state=RestoreState.FAILED, ended=ledger.now(), why=why)
            _notify(context, noting.record, [noting.record.advice])
        raise


def _notify(context: Context, record: RestoreRecord, lines: Iterable[str]) -> None:
    message = restore_ended(record.id, record.run_id, record.pipeline, record.state, lines)
    notify(context, message, once="1")


def tell(context: Context, run: RunRecord, record: RestoreRecord, report: RestoreReport) -> None:
    """Write the report into files, add the restore to the history in the warehouse, if there is
    one, and tell people; what fails there is only logged."""
    dataset = context.settings.history_dataset
    if dataset is not None:
        try:
            warehouse = context.warehouse.labelled(phase="history")
            write_restore(warehouse, dataset, report)
            with suppress(TableNotFound):  # a history of before has no table for commands
                commands = context.ledger.commands(run)
                write_commands(warehouse, dataset, run.id, run.pipeline, commands)
        except WarehouseError as error:
            log.warning("%s is not in the history %s: %s", report.restore_id, dataset, error)
    write_restore_report(context, report)
    _notify(context, record, restore_lines(report))
