"""What commands work with: settings, pipeline, warehouse and, where it answers, the ledger."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

from planner import clock
from planner.address import masked
from planner.console.output import err, note
from planner.evidence.evidence import IDS_NAMED
from planner.settings import Settings, load_settings, misspelt
from sql import TableNotFound, Warehouse

if TYPE_CHECKING:
    from planner.gaps.gaps import Assessment
    from planner.pipeline.pipeline import Pipeline
    from planner.pipeline.windows import Window
    from planner.plan.cost import Cost
    from planner.plan.plan import Plan
    from worker.context import Context
    from worker.ledger.ledger import Ledger
    from worker.ledger.record import RunRecord
    from worker.run.changed import Changes
    from worker.run.plan import Wanted


def settings_here() -> Settings:
    """The settings; variables that look like a misspelt one are reported."""
    for told in misspelt():
        note(told)
    return load_settings()


def open_context(settings: Settings | None = None) -> Context:
    """The context of a command: calls to Redis time out soon, because a person waits."""
    from worker.context import Context

    return Context(settings or settings_here(), patient=False)


def required_ledger(context: Context) -> Ledger:
    """The ledger. Raises `Unreachable` when Redis does not answer."""
    from worker.ledger.connection import require

    require(context.redis, context.settings)
    return context.ledger


def open_run(run_id: str) -> tuple[Context, RunRecord]:
    """A run, and the context with the pipeline file that it was planned with, where there is one.

    Raises `UsageError` when there is no such run, and `Unreachable` when Redis does not answer.
    """
    context = open_context()
    run = required_ledger(context).require(run_id)
    return context.serving(run), run


def say_who_lacks_what(context: Context, run: RunRecord | Plan) -> None:
    """Report, before anything is sent, that no worker can take steps of a run."""
    from worker.status.no_progress import lacking

    for why in lacking(context, run):
        note(f"Nothing will run yet: {why}.")


def ledger_if_any(context: Context) -> Ledger | None:
    """The ledger, or None with a note: the warehouse alone says what is missing."""
    from planner.errors import Unreachable

    try:
        return required_ledger(context)
    except Unreachable:
        where = masked(context.settings.broker_url)
        note(f"The broker ({where}) does not answer, so nothing is known to be in flight.")
        return None


@contextmanager
def right_file(warehouse: Warehouse, pipeline: Pipeline, settings: Settings) -> Iterator[None]:
    """Say it in one line when a table is absent because every table of the file is.

    Raises `sql.TableNotFound` in place of the one that the block raises.
    """
    try:
        yield
    except TableNotFound:
        from planner.doctor.names import none_of

        told = none_of(warehouse, pipeline, settings.pipeline)
        if told is None:
            raise
        raise told from None


def read_assessment(
    context: Context,
    scope: Window,
    *,
    plan_id: str,
    stale: bool = False,
    max_bytes: int | None = None,
    ids_named: int = IDS_NAMED,
    include_open: bool = False,
    included: Collection[date] = (),
    beyond: bool = False,
) -> tuple[Assessment, Cost | None]:
    """Count every table, and show progress on standard error.

    Days that are open are left, unless `include_open` or `included` says otherwise. With
    `beyond`, rows after the calendar's end are looked for, too. The cost, where there is one, is
    asked for and shown before anything is counted. Raises `TooExpensive` when it is above
    `max_bytes`.
    """
    from planner.gaps.beyond import bytes_beyond, rows_beyond
    from planner.gaps.survey import bytes_to_count, survey
    from planner.pipeline.closing import Closing
    from planner.plan.cost import check_limit, cost_of

    warehouse = context.warehouse.labelled(plan_id=plan_id, phase="planning")
    closing = Closing(
        pipeline=context.pipeline, now=clock.now(), include_open=include_open, included=included
    )
    with (
        err.status("Counting …") as status,
        right_file(warehouse, context.pipeline, context.settings),
    ):
        cost = None
        billed = bytes_to_count(warehouse, context.pipeline, scope)
        if billed is not None:
            if beyond:
                billed += bytes_beyond(warehouse, context.pipeline, closing.today)
            cost = cost_of(billed, context.settings.dollars_per_tib)
            check_limit(cost, max_bytes)
            note(f"Counting is billed {cost} at most.")
        assessment = survey(
            warehouse,
            context.pipeline,
            scope,
            stale=stale,
            ids_named=ids_named,
            closing=closing,
            on_table=lambda table: status.update(f"Counting {table} …"),
            on_note=note,
        )
        if beyond:
            after = rows_beyond(warehouse, context.pipeline, closing.today)
            assessment = replace(assessment, beyond=after)
    return assessment, cost


def read_changes(context: Context, assessment: Assessment, wanted: Wanted) -> Changes:
    """Which dates other code made, where that is asked for; says of which it is not known."""
    from worker.run.changed import NOT_ASKED, changes

    if not wanted.changed:
        return NOT_ASKED
    found = changes(context, assessment, wanted.scope).within(wanted.changed)
    for line in found.lines:
        note(line)
    return found
