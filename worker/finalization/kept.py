"""What a run kept of what it wrote over: read to be compared, or to be put back."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import date

from planner.errors import UsageError
from planner.pipeline.calendar import Calendar
from planner.pipeline.phase import Phase
from planner.pipeline.tables import TableSpec
from planner.text import date_runs
from worker.context import Context
from worker.ledger.kept import Kept, Place
from worker.ledger.record import RunRecord
from worker.step.mismatch import is_here, keeps_here

SHOWN = 6  # of dates, in an error


def require_kept(context: Context, run: RunRecord) -> None:
    """Raises `UsageError` where nothing of what a run kept can be read from here.

    The pipeline file may have been mended since: all that is asked of it is that it names the
    tables, which `specs_of` checks.
    """
    if run.pipeline != context.pipeline.name or not is_here(context, run):
        raise UsageError(
            f"{run.id} is of {run.pipeline} in {run.warehouse}, and BACKFILL_PIPELINE is "
            f"{context.pipeline.name}, BACKFILL_WAREHOUSE {context.warehouse.name}: set those of "
            "the run."
        )
    if not run.keep:
        raise UsageError(
            f"{run.id} kept nothing of what it wrote over: it was begun with --no-keep, with "
            "BACKFILL_KEEP=false, without BACKFILL_KEEP_DATASET on BigQuery, or by a version "
            "before this one."
        )
    if not keeps_here(context, run):
        raise UsageError(
            f"{run.id} kept in {run.keep_dataset!r} what it wrote over, and BACKFILL_KEEP_DATASET "
            f"is {context.settings.keep_dataset or ''!r}: set that of the run, if it is yours."
        )


def require_planned(context: Context, run: RunRecord, kept: Collection[Place]) -> None:
    """Raises `UsageError` for a date that the run cannot have written: Redis is not trusted.

    Only dates of the plan's steps, within a season of the pipeline file, are put back.
    """
    plan = context.plan(run.id)
    if plan is None:
        raise UsageError(
            f"Redis does not hold the plan of {run.id}, which tells what it could write, so "
            "nothing was put back."
        )
    planned = {(step.phase, day) for _, step in plan.steps() for day in step.dates}
    calendar = Calendar(pipeline=context.pipeline)
    beyond = {
        day for name, _, day in kept if (name, day) not in planned or not calendar.covers(day)
    }
    if beyond:
        raise UsageError(
            f"Redis says that {run.id} wrote {date_runs(beyond, shown=SHOWN)}, and there is no "
            f"step of it, or no season in {context.settings.pipeline}. Nothing was put back: leave "
            "these dates out with --dates, or set BACKFILL_PIPELINE to the file as it was."
        )


def specs_of(
    context: Context, run: RunRecord, kept: Mapping[Place, Kept]
) -> Iterator[tuple[Phase, TableSpec, dict[date, Kept]]]:
    """What was kept, by table. Raises `UsageError` for a table that the file no longer names."""
    left = dict(kept)
    for phase in context.pipeline.phases:
        for spec in phase.tables:
            of = {place: left.pop(place) for place in kept if place[:2] == (phase.name, spec.name)}
            if of:
                yield phase, spec, {day: each for (_, _, day), each in of.items()}
    if left:
        name, table, _ = next(iter(left))
        raise UsageError(
            f"{run.id} wrote {table} in the phase {name}, and {context.settings.pipeline} names "
            "no such table there any more: name another phase with --phase, or set "
            "BACKFILL_PIPELINE to the file as it was."
        )
