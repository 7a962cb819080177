"""Finalization: after every step has settled, the final validation and the report, once."""

from __future__ import annotations

import logging
from datetime import date

from kombu.exceptions import OperationalError
from redis import RedisError

from planner.errors import FleetError
from planner.pipeline.publish import Publication
from planner.plan import owed as owed_files
from planner.plan.cost import cost_of
from planner.plan.made import Made
from planner.plan.plan import Plan
from planner.plan.states import STEP_ENDED, DateState, RunState
from planner.report.commands import write_commands
from planner.report.costs import write_costs
from planner.report.history import gaps_after, write_gaps, write_run
from planner.report.made import write_made
from planner.report.message import run_ended
from planner.report.report import Report
from planner.validation.counts import Counts
from sql import TableNotFound, Warehouse, WarehouseError
from worker.context import Context
from worker.finalization.diff import with_changes
from worker.finalization.final_count import final_count, held_up
from worker.finalization.labelled import note_labelled
from worker.finalization.lost import LOST, end_if_lost, lose
from worker.finalization.made import made_by, save_made
from worker.finalization.publish import Interrupted, publish
from worker.finalization.report import FinalState, recounts, remarks, report_of
from worker.finalization.report_files import write_report
from worker.ledger.connection import now
from worker.ledger.lease import Lease, Resource
from worker.ledger.record import RunEnding, RunRecord
from worker.notify import notify
from worker.processes.secrets import redacted
from worker.processes.tracing import write_run_span
from worker.step.errors import Requeue
from worker.step.mismatch import WAREHOUSE, mismatch

log = logging.getLogger(__name__)

TRIES_MAX = 5  # of a finalization that ends in an error of the program
FAILED_LOOK_SECONDS = 10.0  # between two of them
UNSETTLED_LOOK_SECONDS = 5.0
"""Between two looks while steps are still to settle, unless BACKFILL_POLL_MAX_SECONDS is less."""


def finalize(context: Context, run_id: str) -> str:
    """Validate, report and end a run. Raises `Requeue` while steps are still to settle.

    Idempotent: safe to call at any time, from any worker, any number of times. An
    unexpected error is tried again a few times; then the run ends as failed, with its text.
    """
    try:
        return _finalize(context, run_id)
    except (Requeue, FleetError, RedisError, OperationalError):
        raise
    except Exception as error:
        log.exception("%s: the finalization failed", run_id)
        if context.ledger.note_end_failed(run_id) < TRIES_MAX:
            raise Requeue(FAILED_LOOK_SECONDS, f"its end failed: {error}") from None
        what = redacted(" ".join(f"{type(error).__name__}: {error}".split()))
        why = f"the run could not be ended: {what}. See the worker's log"
        lose(context, context.ledger.require(run_id), why)
        return str(RunState.FAILED)


def _finalize(context: Context, run_id: str) -> str:
    run = context.ledger.run(run_id)
    if run is None:
        return "forgotten"
    if run.is_ended:
        return str(run.state)
    context = context.serving(run)
    states = context.ledger.steps(run_id)
    if end_if_lost(context, run, states):
        return LOST
    pause = min(UNSETTLED_LOOK_SECONDS, context.settings.poll_max_seconds)
    if not all(state in STEP_ENDED for state in states.values()):
        raise Requeue(pause)
    plan = context.plan(run_id)  # large, so not before it is needed
    if plan is None:
        return "forgotten"
    resources = [Resource(name=f"final:{run_id}")]
    if context.settings.history_dataset:  # exclusive: of two concurrent writers one would lose rows
        resources.append(Resource(name=f"ledger:{context.settings.history_dataset}"))
    lease = Lease(context.redis, resources, seconds=context.settings.lease_seconds)
    if not lease.acquire():
        raise Requeue(pause)
    try:
        with lease.kept_alive():
            counted = final_count(context, run, plan)
            if lease.is_lost:  # another worker finalizes by now
                raise Requeue(pause)
            return _conclude(context, run, plan, counted, lease)
    finally:
        lease.release()


def _conclude(
    context: Context, run: RunRecord, plan: Plan, counted: Counts | str, lease: Lease
) -> str:
    """End the run by what was counted; or without a count, for the reason given instead."""
    note_labelled(context, run, plan)
    dates = context.ledger.all_dates(run.id)
    final = FinalState(
        plan=plan,
        dates=dates,
        recounts=recounts(context, run, plan),
        remarks=remarks(context, run, plan),
        counted=counted,
    )
    publication = _publish(context, run, final, lease)
    run = context.ledger.run(run.id) or run  # it may have been cancelled meanwhile
    made = made_by(context, run, dates)
    report = with_changes(context, run, plan, report_of(context, run, final, publication))
    report = _with_history(context, run, final, with_billed(context, report), made)
    state = RunState(report.state)
    ending = _ending(final, publication)
    try:  # before the run is shown as ended: `planner gaps --changed` may follow at once
        save_made(context, made)
    except OSError as error:
        log.warning("%s: what made its dates cannot be noted: %s", run.id, error)
    text = report.model_dump_json()
    if not context.ledger.conclude(run.id, state, ending, report=text, endings=run.endings):
        return str(
            context.ledger.require(run.id).state
        )  # another worker concluded it, and it may have been retried since
    _trace(context, run, report)
    if final.note:
        log.warning("%s has ended: %s. %s", run.id, state, final.note)
    else:
        log.info("%s has ended: %s", run.id, state)
    try:
        write_report(context, report)
        settle_owed(context, run, dates)
    except (OSError, FleetError) as error:  # `planner report` and the next plan do it anew
        log.warning("%s has ended, and its files cannot be written: %s", run.id, error)
    notify(context, run_ended(report), once=str(run.endings))
    return str(state)


def _trace(context: Context, run: RunRecord, report: Report) -> None:
    """Write the span of the whole run, beside those of its attempts."""
    told = {
        "backfill.run": run.id,
        "backfill.pipeline": run.pipeline,
        "backfill.state": report.state,
    }
    began = run.resumed or run.started or run.created
    write_run_span(run.id, run.endings, told, began=began, ended=now(context.redis))


def with_billed(context: Context, report: Report) -> Report:
    """The report with what the warehouse billed for the run so far, where it bills."""
    run = context.ledger.run(report.run_id)
    if run is None or not run.billed:
        return report
    cost = cost_of(run.billed, context.settings.dollars_per_tib)
    return report.model_copy(update={"billed": cost, "unbilled": run.unbilled})


def _ending(final: FinalState, publication: Publication | None) -> RunEnding:
    """The part of the report that the run's hash keeps."""
    validation = final.validation.model_dump(mode="json", exclude={"short"})
    validation["short"] = len(final.validation.short)
    return RunEnding(
        validation=validation,
        publication=publication.model_dump(mode="json") if publication else None,
        note=final.note,
    )


def _with_history(
    context: Context, run: RunRecord, final: FinalState, report: Report, made: Made
) -> Report:
    """Add the run to the history in the warehouse, if there is one; a failure is only a note."""
    dataset, plan = context.settings.history_dataset, final.plan
    if dataset is None:
        return report
    if mismatch(context, run) is WAREHOUSE:
        why = f"The run is not in the history {dataset}: this worker's warehouse is not the run's"
        return report.model_copy(update={"notes": (*report.notes, why)})
    warehouse = context.warehouse.labelled(plan_id=plan.plan_id, phase="history")
    try:
        write_run(warehouse, dataset, report)
        _write_beside(warehouse, dataset, report, made)
        if final.assessment is not None:
            write_gaps(
                warehouse,
                dataset,
                plan.pipeline,
                gaps_after(plan, report, final.assessment),
                counted=plan.reach,
                detected=plan.created,
                now=report.ended,
            )
        report = _with_costs(warehouse, dataset, report)
    except WarehouseError as error:
        log.warning("%s is not in the history %s: %s", report.run_id, dataset, error)
        why = f"The run is not in the history {dataset}: {redacted(str(error))}"
        return report.model_copy(update={"notes": (*report.notes, why)})
    return report


def _write_beside(warehouse: Warehouse, dataset: str, report: Report, made: Made) -> None:
    """Add what made the run's dates, and its commands; a history of an earlier version lacks
    their tables."""
    try:
        write_made(warehouse, dataset, made)
        write_commands(warehouse, dataset, report.run_id, report.pipeline, report.commands)
    except TableNotFound as error:
        log.warning("%s: %s. `planner history --create` creates it.", made.run_id, error)


def _with_costs(warehouse: Warehouse, dataset: str, report: Report) -> Report:
    """Write what the run was billed; a history that was made before there were costs has no table
    for them."""
    try:
        write_costs(warehouse, dataset, report)
    except TableNotFound:
        why = f"What it was billed is not in the history {dataset}: `planner history --create`"
        return report.model_copy(update={"notes": (*report.notes, why)})
    return report


def _publish(
    context: Context, run: RunRecord, final: FinalState, lease: Lease
) -> Publication | None:
    """Publish the dates that the run repaired and that validated; None when there are none."""
    publishing = context.pipeline.publish
    if publishing is None or run.state is RunState.CANCELLING:
        return None
    short = {(each.phase, each.date) for each in final.validation.short}
    done = {pair for pair, state in final.dates.items() if state is DateState.DONE} - short
    repaired = [day for phase, day in done if phase == publishing.after]
    try:
        return publish(context, run.id, repaired, lease) if repaired else None
    except Interrupted:
        raise Requeue(0) from None
    except WarehouseError as error:
        raise held_up(context, run, redacted(str(error))) from None


def settle_owed(context: Context, run: RunRecord, dates: dict[tuple[str, date], DateState]) -> None:
    """Cross out what the run has recomputed, if its note of owed dates is on this machine."""
    done = {pair for pair, state in dates.items() if state is DateState.DONE}
    owed_files.cross_out(context.settings.folder("owed"), run.id, done)
