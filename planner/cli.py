"""The command line. What is slow to import is imported inside the commands."""

from __future__ import annotations

import sys

import typer

from planner.commands import (
    control,
    doctor,
    enqueue,
    gaps,
    ledger,
    runs,
    sandbox,
    settings,
    up,
    validate,
    watch,
)
from planner.commands.output import err
from planner.errors import Exit, FleetError
from sql.errors import WarehouseError

EPILOG = """
Exit codes: 0 done; 1 gaps remain, or a validation failed; 2 bad usage or input;
3 warehouse or broker unreachable; 4 run cancelled or failed;
130 interrupted.

Try it: planner demo · See the holes: planner gaps · Fill them: planner enqueue --gaps --wait
One machine: planner up --workers 4 · Settings: planner settings
"""

app = typer.Typer(
    name="planner",
    help="Find the holes in a phased pipeline, repair them in phase order, and prove it.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(gaps.gaps)
app.command()(gaps.plan)
app.command()(validate.validate)
app.command()(validate.compare)
app.command()(enqueue.enqueue)
app.command()(runs.runs)
app.command()(runs.status)
app.command()(watch.watch)
app.command()(runs.report)
app.command()(control.pause)
app.command()(control.resume)
app.command()(control.cancel)
app.command()(control.retry)
app.command()(up.up)
app.command()(ledger.ledger)
app.command()(doctor.doctor)
app.command()(settings.settings)
app.command()(sandbox.demo)
app.add_typer(sandbox.app, name="sandbox")


def main() -> None:
    """Run the command line; every error that a user can cause is one line, and an exit code."""
    if not all(map(_is_text, sys.argv)):
        _complain("An argument is not text in UTF-8: write it anew.", Exit.USAGE)
    try:
        app()
    except FleetError as error:
        _complain(str(error), error.exit)
    except WarehouseError as error:
        _complain(str(error), Exit.UNREACHABLE)
    except KeyboardInterrupt:
        _complain("Interrupted.", Exit.INTERRUPTED)
    except OSError as error:
        if error.filename is None:
            raise
        _complain(
            f"{error.filename} cannot be used: {error.strerror}. Make room, or make it yours; "
            "BACKFILL_HOME says where logs, reports and notes are.",
            Exit.USAGE,
        )
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in ("redis", "kombu"):
            raise
        _complain(f"Redis went away: {error}. Try again when it is back.", Exit.UNREACHABLE)


def _is_text(word: str) -> bool:
    """Whether the shell's bytes were UTF-8: Python keeps others as halves of characters."""
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


def _complain(message: str, code: Exit) -> None:
    err.print(message, style="red", markup=False, soft_wrap=True)
    sys.exit(code)
