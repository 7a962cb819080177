"""The command line. What is slow to import is imported inside the commands."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Annotated

import typer

from planner.console import streams
from planner.console.lazy import Lazy, LazyGroup
from planner.console.output import err
from planner.errors import Exit, FleetError

EPILOG = """
Exit codes: 0 done; 1 gaps remain, or a validation failed; 2 bad usage or input;
3 warehouse or broker unreachable; 4 run cancelled or failed;
70 a mistake of the planner's; 130 interrupted; 141 the output's reader went away.

Try it: planner demo · Your own tables: planner init · See the holes: planner gaps
Fill them: planner enqueue --gaps --wait · One machine: planner up · Settings: planner settings
"""

RUN = "run-20260102-k7xq3w"

# In the order of `planner --help`; examples are to be pasted.
COMMANDS = (
    Lazy(
        "init:init",
        "Make a pipeline file from what the warehouse holds: tables, their days, ids and order.",
        "planner init shop.toml --datasets shop_raw,shop_marts",
        "planner init shop.toml --tables shop_raw.orders,shop_marts.trend",
        "planner init shop.toml --manifest target/manifest.json",
        "planner init --example shop",
    ),
    Lazy(
        "gaps:gaps",
        "Show which phases and dates are short of what their upstream holds, and why.",
        "planner gaps --season 2021-22",
        "planner gaps --json | jq '.gaps[] | .date'",
    ),
    Lazy(
        "explain:explain",
        "Explain one date of a phase: what it must hold and holds, what it rests on, who tried.",
        "planner explain grading 2022-04-18",
    ),
    Lazy(
        "plan:plan",
        "Plan the repair of the gaps, and do nothing. `--out` keeps it for `enqueue --plan`.",
        "planner plan --from-phase precompute --newest-first",
        "planner plan --limit 3 --out plan.json && planner enqueue --plan plan.json",
    ),
    Lazy(
        "validate:validate",
        "Run every query of the validation suite, reading each table once.",
        "planner validate --save before",
        "planner validate --season 2024-25",
    ),
    Lazy(
        "validate:compare",
        "Show what changed between two validations, per season and phase.",
        "planner compare before after",
    ),
    Lazy(
        "enqueue:enqueue",
        "Find the gaps, and send their repair to the workers; or dates that are complete (--redo).",
        "planner enqueue --gaps --dry-run",
        "planner enqueue --gaps --limit 3 --wait",
        "planner enqueue --gaps --start 2022-04-16 --end 2022-06-16 --deadline 6h",
    ),
    Lazy(
        "heal:heal",
        "Enqueue the gaps of the last days by itself, within limits; report the others.",
        "planner heal --dry-run",
        "planner heal --every 1h --days 14",
    ),
    Lazy("runs:runs", "List runs, and restores of them, newest first.", "planner runs"),
    Lazy(
        "runs:status",
        "Show where a run is. The exit code is that of the run: 0, 1 or 4; 0 while it runs.",
        f"planner status {RUN}",
        f"planner status {RUN} --json | jq .steps",
    ),
    Lazy(
        "watch:watch",
        "Watch a run, or a restore, until it ends. Ctrl-C stops watching, not the run.",
        f"planner watch {RUN}",
    ),
    Lazy(
        "runs:report",
        "Show a run's report, and write it to `BACKFILL_HOME/reports`: Markdown, JSON, and a page.",
        f"planner report {RUN}",
    ),
    Lazy(
        "logs:logs",
        "Show the log of a step; without STEP, of every step of the run that failed or is at work.",
        f"planner logs {RUN}",
        f"planner logs {RUN} 2022-04-18/grading",
    ),
    Lazy(
        "runs:log",
        "Show every command that touched a run, in order: who gave it, from where, and when.",
        f"planner log {RUN}",
    ),
    Lazy(
        "control:pause",
        "Start no more steps of a run; those that run go on to their end.",
        f"planner pause {RUN}",
    ),
    Lazy(
        "control:resume",
        "Go on with a paused run, or with one that was only half sent.",
        f"planner resume {RUN}",
    ),
    Lazy(
        "control:cancel",
        "Stop a run: end what runs, start nothing, and report what is there.",
        f"planner cancel {RUN}",
    ),
    Lazy(
        "control:retry",
        "Try the failed, blocked and cancelled dates of an ended run again.",
        f"planner retry {RUN}",
        f"planner retry {RUN} --phase grading --dates 2024-11-02,2024-11-03 --wait",
    ),
    Lazy(
        "restore:restore",
        "Put back what the dates of an ended run held before it, and count it.",
        f"planner restore {RUN}",
        f"planner restore {RUN} --phase analytics --dates 2024-11-02..2024-11-05 --yes",
    ),
    Lazy(
        "diff:diff",
        "Compare what a run wrote over with what its tables hold now, row by row.",
        f"planner diff {RUN}",
        f"planner diff {RUN} --phase analytics --limit 100",
    ),
    Lazy(
        "up:up",
        "Run the embedded Redis and some workers until Ctrl-C.",
        "planner up --workers 4",
    ),
    Lazy(
        "metrics:metrics",
        "Tell how the fleet stands, for Prometheus: steps, waits, queues, leases, memory.",
        "planner metrics --port 9464 --gaps-every 1h",
    ),
    Lazy(
        "serve:serve",
        "Serve pages that show runs as they go on, and the open gaps, to browsers.",
        "planner serve",
        "BACKFILL_SERVE_PASSWORD=… planner serve --address 0.0.0.0 --gaps-every 1h",
    ),
    Lazy(
        "history:history",
        "Show the statements that create the tables of the run history; with --create, run them.",
        "BACKFILL_HISTORY_DATASET=ops planner history --create",
    ),
    Lazy(
        "doctor:doctor",
        "Check broker, warehouse, tables, columns, partitions, scripts, services and clock.",
        "planner doctor",
        "planner doctor --json | jq '.checks[] | select(.ok | not)'",
    ),
    Lazy(
        "settings:settings",
        "Show every setting, its value (secrets masked), and where it came from.",
        "planner settings",
    ),
    Lazy(
        "sandbox:demo",
        "Build a pipeline with the holes of a real one, repair it with a fleet, and prove it.",
        "planner demo",
    ),
    Lazy("sandbox:app", "A small real pipeline to try the planner on.", name="sandbox"),
)


class Commands(LazyGroup):
    """All commands, and a name of before."""

    lazy = (
        *COMMANDS,
        Lazy("history:history", "Its name is `history` now.", name="ledger", hidden=True),
    )


def _tell_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"backfill-fleet {version('backfill-fleet')}")
        raise typer.Exit


def _everywhere(
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_tell_version, help="Show the version."),
    ] = False,
) -> None:
    """What every command takes."""


app = typer.Typer(
    name="planner",
    cls=Commands,
    callback=_everywhere,
    help="Find the holes in a phased pipeline, repair them in phase order, and prove it.",
    epilog=EPILOG,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command line; every error that a user can cause is one line, and an exit code."""
    if not all(map(_is_text, sys.argv)):
        _complain("An argument is not text in UTF-8: write it anew.", Exit.USAGE)
    streams.install()
    try:
        try:
            app()
        finally:
            sys.stdout.flush()  # a full disk is reported here, and not at the exit of Python
    except FleetError as error:
        _complain(str(error), error.exit)
    except KeyboardInterrupt:
        _complain("Interrupted.", Exit.INTERRUPTED)
    except OSError as error:
        _complain(_of_machine(error), Exit.USAGE)
    except Exception as error:
        from sql.errors import WarehouseError

        if isinstance(error, WarehouseError):
            _complain(str(error), Exit.UNREACHABLE)
        if type(error).__module__.partition(".")[0] in ("redis", "kombu"):
            from worker.ledger.refusals import refusal

            why = refusal(error) or refusal(error.__cause__ or error)
            told = f"{why}." if why else f"Redis went away: {error}. Try again when it is back."
            _complain(told, Exit.UNREACHABLE)
        if isinstance(error, RuntimeError) and "home directory" in str(error):
            # `Path.expanduser`, of any path that a user names
            _complain("A path begins with `~` and a name that is no user's here.", Exit.USAGE)
        if sys.flags.dev_mode:
            raise
        why = " ".join(f"{type(error).__name__}: {error}".split()).rstrip(".")
        _complain(
            f"A mistake of the planner's: {why}. Nothing is known to be done; PYTHONDEVMODE=1 "
            "shows where, and a report of it is welcome.",
            Exit.MISTAKE,
        )


def _of_machine(error: OSError) -> str:
    """What the machine refuses of a file, in words."""
    which = error.filename or "A file"  # what is written to has no name in the error
    return (
        f"{which} cannot be used: {error.strerror or error}. Make room, or make it yours; "
        "BACKFILL_HOME says where logs, reports and notes are."
    )


def _is_text(word: str) -> bool:
    """Whether the shell's bytes were UTF-8: Python keeps others as halves of characters."""
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True


def _complain(message: str, code: Exit) -> None:
    with suppress(OSError, FleetError):  # standard error may be as full as the rest
        err.print(message, style="red", markup=False, soft_wrap=True)
    sys.exit(code)
