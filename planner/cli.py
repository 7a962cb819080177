"""The command line. What is slow to import is imported inside the commands."""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer

from planner.commands import (
    control,
    doctor,
    enqueue,
    gaps,
    history,
    plan,
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

RUN = "run-20260102-k7xq3w"

# In the order of `planner --help`; examples are to be pasted.
COMMANDS: tuple[tuple[Callable[..., None], tuple[str, ...]], ...] = (
    (
        gaps.gaps,
        ("planner gaps --season 2021-22", "planner gaps --json | jq '.gaps[] | .date'"),
    ),
    (
        plan.plan,
        (
            "planner plan --from-phase precompute --newest-first",
            "planner plan --limit 3 --out plan.json && planner enqueue --plan plan.json",
        ),
    ),
    (
        validate.validate,
        ("planner validate --save before", "planner validate --season 2024-25"),
    ),
    (validate.compare, ("planner compare before after",)),
    (
        enqueue.enqueue,
        (
            "planner enqueue --gaps --dry-run",
            "planner enqueue --gaps --limit 3 --wait",
            "planner enqueue --gaps --start 2022-04-16 --end 2022-06-16 --deadline 6h",
        ),
    ),
    (runs.runs, ("planner runs",)),
    (runs.status, (f"planner status {RUN}", f"planner status {RUN} --json | jq .steps")),
    (watch.watch, (f"planner watch {RUN}",)),
    (runs.report, (f"planner report {RUN}",)),
    (control.pause, (f"planner pause {RUN}",)),
    (control.resume, (f"planner resume {RUN}",)),
    (control.cancel, (f"planner cancel {RUN}",)),
    (
        control.retry,
        (
            f"planner retry {RUN}",
            f"planner retry {RUN} --phase grading --dates 2024-11-02,2024-11-03 --wait",
        ),
    ),
    (up.up, ("planner up --workers 4",)),
    (history.history, ("BACKFILL_HISTORY_DATASET=ops planner history --create",)),
    (
        doctor.doctor,
        ("planner doctor", "planner doctor --json | jq '.checks[] | select(.ok | not)'"),
    ),
    (settings.settings, ("planner settings",)),
    (sandbox.demo, ("planner demo",)),
)
for command, examples in COMMANDS:
    app.command(epilog="\n".join(["Such as:", *examples]))(command)
app.command(name="ledger", hidden=True)(history.history)  # its name before
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
