"""Dates that other code than today's made, as `planner gaps` tells them."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from planner.console.output import note, out
from planner.text import counted, date_ranges

if TYPE_CHECKING:
    from planner.console.option_groups import Counting
    from worker.run.changed import Changes


def changes_json(changes: Changes) -> dict[str, Any]:
    """The keys `changed` and `unknown` of `planner gaps --json`."""
    return {
        "changed": [
            {"phase": phase, "date": day, "what": list(what)}
            for phase, days in changes.changed.items()
            for day, what in days.items()
        ],
        "unknown": [
            {"phase": phase, "dates": list(days), "why": why}
            for phase, reasons in changes.unknown.items()
            for why, days in reasons.items()
        ],
    }


def print_changes(changes: Changes, options: Counting) -> None:
    """How many dates there are; with `--changed` what is other about them, and what is unknown."""
    for phase, days in changes.changed.items():
        what = ", ".join(dict.fromkeys(name for each in days.values() for name in each))
        dates = counted(len(days), "date")
        out.print(
            f"{phase}: {dates} made by other code than today's ({what}): {date_ranges(days)}",
            markup=False,
            soft_wrap=True,
        )
    if changes.changed and not options.changed:
        command = shlex.join(["planner", "enqueue", "--changed", *options.words()])
        out.print(f"They are written anew only when asked: {command}", markup=False, soft_wrap=True)
    for line in changes.lines if options.changed else ():
        note(line)
