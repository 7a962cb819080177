"""Who gives the command that runs now."""

from __future__ import annotations

import getpass
import os
import shlex
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from planner.console.options import LINE_CHARS
from planner.plan.command import Command

if TYPE_CHECKING:
    from worker.context import Context

PACKAGE = "backfill-fleet"


def this_command(named: str | None) -> Command:
    """This process's command; `named` is what `--as` says."""
    from worker.processes.secrets import redacted

    login, host = _login(), socket.gethostname()
    text = redacted(f"planner {shlex.join(sys.argv[1:])}")
    return Command(
        by=redacted(named) if named else f"{login}@{host}",
        login=login,
        host=host,
        folder=_folder(),
        at=datetime.now(UTC).replace(microsecond=0),
        version=_version(),
        text=" ".join(text.split())[:LINE_CHARS],
    )


@contextmanager
def noted(context: Context, run_id: str, named: str | None) -> Iterator[None]:
    """Note in a run's log that the block touches it, unless it is refused.

    Before the block: the run may end at once, and its report tells the log.
    """
    command = this_command(named)
    context.ledger.require(run_id)
    context.ledger.note_command(run_id, command)
    try:
        yield
    except BaseException:
        context.ledger.forget_command(run_id, command)
        raise


def _login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user has no name
        return str(os.getuid())


def _folder() -> str:
    try:
        return str(Path.cwd())
    except FileNotFoundError:
        return "a folder that is gone"


def _version() -> str:
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return "an unknown version"
