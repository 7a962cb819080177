"""The log of a step: what its scripts and statements said, and how its attempts ended."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from planner.files import private
from worker.context import Context


def log_path(context: Context, run_id: str, step_id: str) -> Path:
    """Where a step's log is on the machine of the worker that runs it."""
    return context.settings.folder(f"logs/{run_id}") / f"{step_id.replace('/', '.')}.log"


def write_log(context: Context, run_id: str, step_id: str, text: str) -> None:
    """Add a line, with its time. A disk that is full ends no step: the ledger has the text too."""
    with (
        suppress(OSError),
        open(log_path(context, run_id, step_id), "a", encoding="utf-8", opener=private) as log,
    ):
        log.write(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC {text}\n")
