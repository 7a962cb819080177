"""What is noted of a restore: in the ledger, in the history, and in files."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

from redis.exceptions import RedisError

from planner.plan.states import RestoreState
from planner.report.commands import write_commands
from planner.report.history import write_restore
from planner.report.restored import RestoreReport, save_restore
from sql import TableNotFound, WarehouseError
from worker.ledger.lease import Lease
from worker.ledger.record import RunRecord
from worker.ledger.restores import RestoreRecord
from worker.processes.secrets import redacted
from worker.step.context import Context

log = logging.getLogger(__name__)


@contextmanager
def noted(context: Context, record: RestoreRecord, lease: Lease) -> Iterator[None]:
    """While the block writes, the ledger knows of the restore, and that this process is at it; of a
    block that fails, why."""
    ledger = context.ledger
    seconds = 2 * context.settings.lease_seconds
    lease.on_beat = partial(ledger.beat_restore, record.id, seconds=seconds)
    lease.on_beat()
    ledger.note_restore(record)
    if record.asked is not None:
        ledger.note_command(record.run_id, record.asked)
    try:
        yield
    except BaseException as error:
        with suppress(RedisError):  # then it is told as interrupted
            why = redacted(str(error)) or type(error).__name__
            failed = {"state": RestoreState.FAILED, "ended": ledger.now(), "why": why}
            ledger.note_restore(record.model_copy(update=failed))
        raise


def note_restored(context: Context, record: RestoreRecord, report: RestoreReport) -> None:
    """Note that every table holds what it held."""
    done = {"state": RestoreState.RESTORED, "ended": report.ended, "report": report}
    context.ledger.note_restore(record.model_copy(update=done))


def tell(context: Context, run: RunRecord, report: RestoreReport) -> None:
    """Write the report into files, and add the restore to the history in the warehouse, if there is
    one; what fails there is only told."""
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
    save_restore(context.settings.folder("reports"), report)
