"""The errors that a user sees, and the exit codes of the command line.

    FleetError                 exit code
    ├── UsageError             2  a flag, a date, an id
    │   ├── BadPipeline        2  the pipeline file
    │   └── BadPlan            2  the plan file
    ├── Unreachable            3  broker or fleet
    └── BadRecord              4  what Redis holds of a run

Every message says what happened and what to do next. A warehouse's own errors are in
`sql.errors`; the command line answers them with exit code 3.
"""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    """What the process tells the shell."""

    DONE = 0
    """Done: nothing is left to do, or what was asked for was sent to the workers."""
    GAPS = 1
    """Gaps remain, or a validation failed."""
    USAGE = 2
    """Bad usage or bad input: an option, a date, an id, a pipeline file, a plan file, a setting."""
    UNREACHABLE = 3
    """The warehouse or the broker cannot be reached, or refuses."""
    FAILED = 4
    """The run was cancelled or failed."""
    MISTAKE = 70
    """A bug of the planner: it is not known whether what was asked for was done. `PYTHONDEVMODE=1`
    shows where."""
    INTERRUPTED = 130
    """Interrupted with Ctrl-C: 128 and the number of the signal, as shells count."""
    CLOSED = 141
    """The output's reader went away, such as `head`: as if by SIGPIPE."""


class FleetError(Exception):
    """Something went wrong."""

    exit = Exit.FAILED

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip())


class UsageError(FleetError):
    """The command cannot be understood."""

    exit = Exit.USAGE


class BadPipeline(UsageError):
    """The pipeline file cannot be used."""


class BadPlan(UsageError):
    """The plan file cannot be used."""


class Unreachable(FleetError):
    """The broker cannot be reached."""

    exit = Exit.UNREACHABLE


class BadRecord(FleetError):
    """What Redis holds cannot be read."""
