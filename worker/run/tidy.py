"""What runs leave on a disk goes after `BACKFILL_KEEP_DAYS`: logs, reports, replaced files.

Notes of what is owed and of what made dates stay: they are small, and nothing else knows it. A run
that goes on keeps its logs, however old. Files of local tables go when the table's own retention
lets them, so that what a restore needs is there for as long as it was promised.

Folders are tidied by a worker's main process, on every machine; tables by a finalization, in a pool
process. A main process that had opened a Delta table could fork no pool process that opens one.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from redis import RedisError

from sql import WarehouseError
from worker.context import Context
from worker.ledger.keys import PREFIX

log = logging.getLogger(__name__)

EVERY_SECONDS = 86_400
LOG_BYTES_MAX = 64 << 20  # of a worker's log; as much again is kept of before
MARK = "tidied"
"""The file in the home whose time says when it was last tidied."""


def tidy_daily(context: Context) -> bool:
    """Tidy this machine's home, unless that was done today; whether it was done now."""
    mark = context.settings.home_dir / MARK
    with suppress(FileNotFoundError):
        if time.time() - mark.stat().st_mtime < EVERY_SECONDS:
            return False
    mark.touch()  # before: of several workers one does it
    try:
        tidy(context)
    except Exception:  # it is done anew tomorrow, and no run may fail of it
        log.exception("could not tidy %s", context.settings.home_dir)
    return True


def tidy(context: Context) -> None:
    """Remove what is older than `BACKFILL_KEEP_DAYS`, and cut logs that are too long."""
    before = time.time() - context.settings.keep_days * 86_400
    going_on = {run.id for run in context.ledger.runs() if not run.is_ended}
    for path in _outlived(context.settings.home_dir, before, going_on):
        shutil.rmtree(path, ignore_errors=True)
    for path in _process_logs(context.settings.home_dir):
        _tidy_log(path, before)


def vacuum_daily(context: Context) -> bool:
    """Vacuum the tables that runs here write, unless that was done today; whether it was done now.

    Others' tables are their owners'.
    """
    key = f"{PREFIX}:vacuumed:{context.warehouse.name}"
    try:
        if not context.redis.set(key, "1", nx=True, ex=EVERY_SECONDS):
            return False
        _vacuum(context)
    except RedisError as error:
        log.warning("the warehouse is not tidied now: %s", error)
        return False
    except Exception:  # it is done anew tomorrow, and no run may fail of it
        log.exception("could not tidy %s", context.warehouse.name)
    return True


def _outlived(home: Path, before: float, going_on: Collection[str]) -> Iterator[Path]:
    """Folders of runs in which nothing was written for long."""
    for kind in ("logs", "reports"):
        for folder in (home / kind).glob("run-*/"):
            written = [folder, *folder.rglob("*")]
            with suppress(FileNotFoundError):
                if folder.name not in going_on and all(p.stat().st_mtime < before for p in written):
                    yield folder


def _process_logs(home: Path) -> list[Path]:
    """Logs of workers and of the embedded Redis."""
    return [*(home / "logs").glob("*.log"), *(home / "redis").glob("*.log")]


def _tidy_log(path: Path, before: float) -> None:
    with suppress(OSError):
        found = path.stat()
        if found.st_mtime < before:
            path.unlink()
        elif found.st_size > LOG_BYTES_MAX:
            # Its process has it open, and appends: so it is emptied, not renamed.
            shutil.copy2(path, path.with_suffix(".log.1"))
            with path.open("r+b") as file:
                file.truncate()


def _vacuum(context: Context) -> None:
    written = [phase for phase in context.pipeline.phases if not phase.is_watched]
    for name in dict.fromkeys(spec.name for phase in written for spec in phase.tables):
        try:
            files = context.warehouse.vacuum(name)
        except WarehouseError as error:
            log.warning("%s could not be tidied: %s", name, error)
        else:
            if files:
                log.info("%s: %d files removed that no version needs any more", name, files)
