"""What the scripts in `root/` share: their arguments, their dates, and their exit codes.

    0   ended; what it wrote is for the warehouse to show
    1   bad text for a date, nothing to work on, or a crash
    2   bad arguments

Only what a script needs is imported: start-up is most of the time of a day's repair.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import date
from threading import Event

from planner.sandbox.faults import Crashed
from planner.sandbox.fill import PHASES, fill
from planner.sandbox.seasons import DAY, Span
from sql import Table, Warehouse, WarehouseError, open_warehouse

WAREHOUSE = "BACKFILL_WAREHOUSE"

PREDICTIONS = Table(name="nba_predictions.player_prop_predictions", date="game_date")


class NothingToDo(Exception):
    """The range holds nothing that the job works on."""


def arguments(description: str) -> argparse.ArgumentParser:
    """The command line that every job of the pipeline has."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--start-date", metavar="YYYY-MM-DD")
    parser.add_argument("--end-date", metavar="YYYY-MM-DD")
    parser.add_argument("--dates", metavar="D1,D2", help="only these dates of the range")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done")
    parser.add_argument("--no-resume", action="store_true", help="do dates that were done before")
    return parser


def run(
    parser: argparse.ArgumentParser,
    argv: Sequence[str] | None,
    work: Callable[[argparse.Namespace, list[Span]], None],
) -> int:
    """Read the command line and do the work on its spans of dates; the exit code."""
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")  # to standard error
    if not options.dates and not (options.start_date and options.end_date):
        parser.error("give --start-date and --end-date, or --dates")
    try:
        spans = _spans(options)
    except ValueError as error:
        return _failed(error)
    if options.dry_run:
        for start, end in spans:
            print(f"would fill {start} to {end}", file=sys.stderr)
        return 0
    try:
        work(options, spans)
    except (Crashed, NothingToDo, WarehouseError) as error:
        return _failed(error)
    return 0


def run_phase(phase: str, argv: Sequence[str] | None = None) -> int:
    """A whole script: fill the phase's tables in order."""

    def work(options: argparse.Namespace, spans: list[Span]) -> None:
        warehouse = opened()
        # As the owner's grading job does: without predictions there is nothing to grade.
        if phase == "grading" and not any(
            warehouse.coverage(PREDICTIONS, start, end) for start, end in spans
        ):
            raise NothingToDo("no predictions in the range")
        for table in PHASES[phase]:
            fill_spans(warehouse, phase, table, spans)

    return run(arguments(f"Fill the phase {phase}."), argv, work)


def fill_spans(warehouse: Warehouse, phase: str, table: str, spans: Iterable[Span]) -> None:
    """Fill one table over the spans."""
    for start, end in spans:
        fill(warehouse, phase, table, start, end, stop=Event())


def opened() -> Warehouse:
    """The warehouse of the environment, on a connection of its own."""
    return open_warehouse(os.environ.get(WAREHOUSE, ""))


def _spans(options: argparse.Namespace) -> list[Span]:
    """Runs of dates without a break. Raises `ValueError` for text that is no date."""
    start = date.fromisoformat(options.start_date) if options.start_date else date.min
    end = date.fromisoformat(options.end_date) if options.end_date else date.max
    if end < start:
        raise ValueError(f"{end} is before {start}")
    if not options.dates:
        return [(start, end)]
    spans: list[Span] = []
    for day in sorted({date.fromisoformat(text) for text in options.dates.split(",")}):
        if not start <= day <= end:
            continue
        if spans and spans[-1][1] + DAY == day:
            spans[-1] = (spans[-1][0], day)
        else:
            spans.append((day, day))
    return spans


def _failed(error: Exception) -> int:
    print(f"error: {error}", file=sys.stderr)
    return 1
