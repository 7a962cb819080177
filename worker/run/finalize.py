"""Finalization: after every step has settled, the final validation and the report, once."""

from __future__ import annotations

import json
import logging
from datetime import date

from planner.errors import FleetError
from planner.files import write_whole
from planner.pipeline.publish import Publication
from planner.plan import owed as owed_files
from planner.plan.plan import Plan
from planner.plan.states import STEP_ENDED, DateState, RunState
from planner.report.causes import report_json
from planner.report.history import gaps_after, write_gaps, write_run
from planner.report.html.render import render_page
from planner.report.markdown import render_markdown
from planner.report.message import run_ended
from planner.report.report import Report
from planner.validation.counts import Counts
from sql import WarehouseError
from worker.ledger.lease import Lease, Resource
from worker.ledger.record import RunEnding, RunRecord
from worker.processes.secrets import redacted
from worker.run.final_count import final_count, held_up
from worker.run.notify import notify
from worker.run.publish import Interrupted, publish
from worker.run.report import Standing, recounts, remarks, report_of
from worker.step.context import Context
from worker.step.errors import Requeue
from worker.step.mismatch import WAREHOUSE, mismatch

log = logging.getLogger(__name__)

UNSETTLED_LOOK_SECONDS = 5.0  # between two looks while steps are still to settle


def finalize(context: Context, run_id: str) -> str:
    """Validate, report and end a run. Raises `Requeue` while steps are still to settle.

    Idempotent: safe to call at any time, from any worker, any number of times.
    """
    run = context.ledger.run(run_id)
    if run is None:
        return "forgotten"
    if run.is_ended:
        return str(run.state)
    if not all(state in STEP_ENDED for state in context.ledger.steps(run_id).values()):
        raise Requeue(UNSETTLED_LOOK_SECONDS)
    plan = context.plan(run_id)  # large, so not before it is needed
    if plan is None:
        return "forgotten"
    resources = [Resource(name=f"final:{run_id}")]
    if context.settings.history_dataset:  # exclusive: of two concurrent writers one would lose rows
        resources.append(Resource(name=f"ledger:{context.settings.history_dataset}"))
    lease = Lease(context.redis, resources, seconds=context.settings.lease_seconds)
    if not lease.acquire():
        raise Requeue(UNSETTLED_LOOK_SECONDS)
    try:
        with lease.kept_alive():
            counted = final_count(context, run, plan)
            if lease.is_lost:  # another worker finalizes by now
                raise Requeue(UNSETTLED_LOOK_SECONDS)
            return _conclude(context, run, plan, counted, lease)
    finally:
        lease.release()


def _conclude(
    context: Context, run: RunRecord, plan: Plan, counted: Counts | str, lease: Lease
) -> str:
    """End the run by what was counted; or without a count, for the reason given instead."""
    dates = context.ledger.all_dates(run.id)
    standing = Standing(
        plan=plan,
        dates=dates,
        recounts=recounts(context, run, plan),
        remarks=remarks(context, run, plan),
        counted=counted,
    )
    publication = _publish(context, run, standing, lease)
    run = context.ledger.run(run.id) or run  # it may have been cancelled meanwhile
    report = _with_history(context, run, standing, report_of(context, run, standing, publication))
    state = RunState(report.state)
    ending = _ending(standing, publication)
    text = report.model_dump_json()
    if not context.ledger.conclude(run.id, state, ending, report=text, endings=run.endings):
        return str(context.ledger.require(run.id).state)  # ended by another, and perhaps retried
    if standing.note:
        log.warning("%s has ended: %s. %s", run.id, state, standing.note)
    else:
        log.info("%s has ended: %s", run.id, state)
    try:
        write_report(context, report)
        settle_owed(context, run, dates)
    except (OSError, FleetError) as error:  # `planner report` and the next plan do it anew
        log.warning("%s has ended, and its files cannot be written: %s", run.id, error)
    notify(context, run_ended(report), once=str(run.endings))
    return str(state)


def _ending(standing: Standing, publication: Publication | None) -> RunEnding:
    """What the ledger keeps of the report in the run's hash."""
    validation = standing.validation.model_dump(mode="json", exclude={"short"})
    validation["short"] = len(standing.validation.short)
    return RunEnding(
        validation=validation,
        publication=publication.model_dump(mode="json") if publication else None,
        note=standing.note,
    )


def _with_history(context: Context, run: RunRecord, standing: Standing, report: Report) -> Report:
    """Add the run to the history in the warehouse, if there is one; a failure is only a note."""
    dataset, plan = context.settings.history_dataset, standing.plan
    if dataset is None:
        return report
    if mismatch(context, run) is WAREHOUSE:
        why = f"The run is not in the history {dataset}: this worker's warehouse is not the run's"
        return report.model_copy(update={"notes": (*report.notes, why)})
    warehouse = context.warehouse.labelled(plan_id=plan.plan_id, phase="history")
    try:
        write_run(warehouse, dataset, report)
        if standing.assessment is not None:
            write_gaps(
                warehouse,
                dataset,
                plan.pipeline,
                gaps_after(plan, report, standing.assessment),
                counted=plan.reach,
                detected=plan.created,
                now=report.ended,
            )
    except WarehouseError as error:
        log.warning("%s is not in the history %s: %s", report.run_id, dataset, error)
        why = f"The run is not in the history {dataset}: {redacted(str(error))}"
        return report.model_copy(update={"notes": (*report.notes, why)})
    return report


def _publish(
    context: Context, run: RunRecord, standing: Standing, lease: Lease
) -> Publication | None:
    """Publish the dates that the run repaired and that validated; None when there are none."""
    publishing = context.pipeline.publish
    if publishing is None or run.state is RunState.CANCELLING:
        return None
    short = {(each.phase, each.date) for each in standing.validation.short}
    done = {pair for pair, state in standing.dates.items() if state is DateState.DONE} - short
    repaired = [day for phase, day in done if phase == publishing.after]
    try:
        return publish(context, run.id, repaired, lease) if repaired else None
    except Interrupted:
        raise Requeue(0) from None
    except WarehouseError as error:
        raise held_up(context, run, redacted(str(error))) from None


def write_report(context: Context, report: Report) -> None:
    """Write the report's files below `HOME/reports`."""
    folder = context.settings.folder("reports") / report.run_id
    write_whole(folder / "report.json", json.dumps(report_json(report), indent=1))
    write_whole(folder / "report.md", render_markdown(report))
    write_whole(folder / "report.html", render_page(report))


def settle_owed(context: Context, run: RunRecord, dates: dict[tuple[str, date], DateState]) -> None:
    """Cross out what the run has recomputed, if its note of owed dates is on this machine."""
    done = {pair for pair, state in dates.items() if state is DateState.DONE}
    owed_files.cross_out(context.settings.folder("owed"), run.id, done)
