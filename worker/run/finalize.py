"""Finalization: after every step has settled, the final validation and the report, once."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from dataclasses import replace
from datetime import date

from planner.errors import FleetError
from planner.files import write_whole
from planner.gaps.gaps import RECOMPUTE, Assessment, GapReason
from planner.gaps.matrix import matrix
from planner.gaps.snapshot import snapshot
from planner.pipeline.publish import Publication
from planner.plan import owed as owed_files
from planner.plan.plan import Plan, step_id
from planner.plan.states import STEP_ENDED, DateState, RunState, StepState
from planner.report.history import gaps_after, write_gaps, write_run
from planner.report.html.render import render_page
from planner.report.markdown import render_markdown
from planner.report.report import Failure, Report, Short, StepRow, Validation, retry_command
from planner.validation.counts import Counts
from planner.validation.judge import judge
from sql import WarehouseError
from worker.ledger.lease import Lease, Resource
from worker.ledger.record import RunRecord
from worker.processes.secrets import redacted
from worker.run.final_count import final_count, held_up, uncounted
from worker.run.publish import Interrupted, publish
from worker.step.context import Context
from worker.step.visit import Requeue

log = logging.getLogger(__name__)

UNSETTLED_LOOK_SECONDS = 5.0  # between two looks while steps are still to settle
UNCOUNTED = "The run ended without its final count, and what it shows after is what was before"


def finalize(context: Context, run_id: str) -> str:
    """Validate, report and end a run. Raises `Requeue` while it cannot be.

    Safe to call at any time, anywhere, any number of times.
    """
    run, plan = context.ledger.run(run_id), context.plan(run_id)
    if run is None or plan is None:
        return "forgotten"
    if run.is_ended:
        return str(run.state)
    if not all(state in STEP_ENDED for state in context.ledger.steps(run_id).values()):
        raise Requeue(UNSETTLED_LOOK_SECONDS)
    resources = [Resource(name=f"final:{run_id}")]
    if context.settings.history_dataset:
        # One at a time: of two that read and wrote at once, one would lose what it wrote.
        resources.append(Resource(name=f"ledger:{context.settings.history_dataset}"))
    lease = Lease(context.redis, resources, seconds=context.settings.lease_seconds)
    if lease.acquire() is not None:
        raise Requeue(UNSETTLED_LOOK_SECONDS)
    try:
        with lease:
            counted = final_count(context, run, plan)
            if lease.is_lost:  # somebody else is at it by now
                raise Requeue(UNSETTLED_LOOK_SECONDS)
            return _conclude(context, run, plan, counted, lease)
    finally:
        lease.release()


def _conclude(
    context: Context, run: RunRecord, plan: Plan, counted: Counts | str, lease: Lease
) -> str:
    """End the run by what was counted; or without, for the reason that is given instead."""
    dates = context.ledger.all_dates(run.id)
    again = _undone(plan, dates)
    stale = {
        phase: [day for day, why in days.items() if why is GapReason.STALE]
        for phase, days in again.items()
    }
    facts, note = (None, f"{UNCOUNTED}: {counted}") if isinstance(counted, str) else (counted, "")
    assessment = replace(facts.assessment, stale=stale) if facts else None
    validation = _validate(plan, assessment, dates) if assessment else uncounted(plan)
    publication = _publish(context, run, validation, dates, lease)
    run = context.ledger.run(run.id) or run  # it may have been cancelled meanwhile
    rows = _rows(context, run, plan)
    state = _state(run, rows, validation)
    reach = plan.reach
    report = Report(
        run_id=run.id,
        plan_id=plan.plan_id,
        pipeline=plan.pipeline,
        warehouse=plan.warehouse,
        entity=context.pipeline.entity,
        state=state,
        reason=plan.reason,
        scope=plan.scope,
        created=run.created,
        started=run.started,
        ended=context.ledger.now(),
        steps=rows,
        validation=validation,
        criteria=tuple(judge(facts)) if facts else (),
        publication=publication,
        failures=failures(context, run, plan, dates),
        left_alone=len(plan.skipped),
        before=plan.before,
        after=matrix(context.pipeline, assessment) if assessment else plan.before,
        seasons=tuple(
            season
            for season in context.pipeline.seasons
            if season.start <= reach.end and reach.start <= season.end
        ),
        days_before=plan.days_before,
        days_after=(
            snapshot(context.pipeline, assessment, reach, again) if assessment else plan.days_before
        ),
        estimate=_foreseen(plan),
        notes=(note,) if note else (),
    )
    report = _recorded(context, plan, report, assessment)
    summary = validation.model_dump(mode="json", exclude={"short"})
    summary["short"] = len(validation.short)
    published = publication.model_dump_json() if publication else ""
    fields = {"validation": json.dumps(summary), "publication": published, "note": note}
    text = report.model_dump_json()
    if not context.ledger.conclude(run.id, state, fields, report=text, endings=run.endings):
        return str(context.ledger.require(run.id).state)  # ended by another, and perhaps retried
    log.warning("%s has ended: %s", run.id, f"{state}. {note}" if note else state)
    try:
        write_report(context, report)
        settle_owed(context, run, dates)
    except (OSError, FleetError) as error:  # `planner report` and the next plan do it anew
        log.warning("%s has ended, and its files cannot be written: %s", run.id, error)
    return str(state)


def _undone(
    plan: Plan, dates: dict[tuple[str, date], DateState]
) -> dict[str, dict[date, GapReason]]:
    """Dates that still have to be computed again: of the plan, and stale ones it did not take."""
    found = plan.recompute
    for phase in plan.days_before.phases:
        known = found.setdefault(phase, {})
        for day in plan.days_before.days(phase, GapReason.STALE):
            known.setdefault(day, GapReason.STALE)
    return {
        phase: {d: why for d, why in days.items() if dates.get((phase, d)) is not DateState.DONE}
        for phase, days in found.items()
    }


def _recorded(
    context: Context, plan: Plan, report: Report, assessment: Assessment | None
) -> Report:
    """Write the run into the warehouse's history, if there is one; a failure is but a note."""
    dataset = context.settings.history_dataset
    if dataset is None:
        return report
    warehouse = context.warehouse.labelled(plan_id=plan.plan_id, phase="history")
    try:
        write_run(warehouse, dataset, report)
        if assessment is not None:
            write_gaps(
                warehouse,
                dataset,
                plan.pipeline,
                gaps_after(plan, report, assessment),
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
    context: Context,
    run: RunRecord,
    validation: Validation,
    dates: dict[tuple[str, date], DateState],
    lease: Lease,
) -> Publication | None:
    """Publish what the run repaired and the validation found; None when there is nothing to."""
    publishing = context.pipeline.publish
    if publishing is None or run.state is RunState.CANCELLING:
        return None
    short = {(each.phase, each.date) for each in validation.short}
    done = {pair for pair, state in dates.items() if state is DateState.DONE} - short
    repaired = [day for phase, day in done if phase == publishing.after]
    try:
        return publish(context, run.id, repaired, lease) if repaired else None
    except Interrupted:
        raise Requeue(0) from None
    except WarehouseError as error:
        raise held_up(context, run, redacted(str(error))) from None


def _foreseen(plan: Plan) -> dict[str, float] | None:
    """Phase → seconds of work, as far as the plan knew; None when it knew nothing."""
    phases = plan.estimate.phases if plan.estimate else {}
    return {name: phase.seconds for name, phase in phases.items()} or None


def _validate(
    plan: Plan, assessment: Assessment, dates: dict[tuple[str, date], DateState]
) -> Validation:
    """A date passes when a fresh count finds it complete, and its rows were computed since."""
    short: list[Short] = []
    taken: set[tuple[str, date]] = set()
    for _, step in plan.steps():
        for task in step.tasks:
            pair = (step.phase, task.date)
            taken.add(pair)
            gap = assessment.gaps[step.phase].get(task.date)
            if gap is not None:
                short.append(
                    Short(
                        phase=step.phase,
                        date=task.date,
                        reason=gap.reason,
                        expected=gap.expected,
                        found=gap.found,
                    )
                )
            elif task.reason in RECOMPUTE and dates.get(pair) is not DateState.DONE:
                count = max(task.expected.values(), default=1)
                short.append(
                    Short(
                        phase=step.phase,
                        date=task.date,
                        reason=task.reason,
                        expected=count,
                        found=count,
                    )
                )
    remaining = sum(
        (phase, day) not in taken and day in plan.scope
        for phase, gaps in assessment.gaps.items()
        for day in gaps
    )
    return Validation(passed=not short, checked=len(taken), short=tuple(short), remaining=remaining)


def _state(run: RunRecord, rows: tuple[StepRow, ...], validation: Validation) -> RunState:
    if run.state is RunState.CANCELLING:
        return RunState.CANCELLED
    if validation.passed and all(row.state == StepState.SUCCEEDED for row in rows):
        return RunState.COMPLETE
    return RunState.FAILED


def _rows(context: Context, run: RunRecord, plan: Plan) -> tuple[StepRow, ...]:
    steps = dict(plan.steps())
    return tuple(
        StepRow(
            id=record.id,
            phase=steps[record.id].phase,
            dates=steps[record.id].dates,
            state=record.state,
            worker=record.worker,
            attempt=record.attempt,
            started=record.started,
            ended=record.ended,
            error=record.error,
            worked=record.worked,
        )
        for record in context.ledger.step_records(run.id, steps)
    )


def failures(
    context: Context, run: RunRecord, plan: Plan, dates: dict[tuple[str, date], DateState]
) -> tuple[Failure, ...]:
    """Dates that are not done, grouped by phase, state and reason."""
    groups: dict[tuple[str, str, str], list[date]] = defaultdict(list)
    for chunk in plan.chunks:
        cause = ""
        for step in chunk.steps:
            problems = context.ledger.problems(run.id, step_id(chunk.id, step.phase))
            for day in step.dates:
                state = dates.get((step.phase, day), DateState.PENDING)
                if state is not DateState.DONE:
                    why = problems.get(day) or cause or str(state)
                    if state is DateState.CANCELLED and run.stopped_by == "deadline":
                        why = "the run's deadline passed"
                    groups[step.phase, str(state), why].append(day)
            if problems and not cause:
                cause = f"after {step.phase}: {next(iter(problems.values()))}"
    return tuple(
        Failure(
            phase=phase,
            dates=tuple(days),
            state=state,
            reason=why,
            retry=retry_command(run.id, phase, tuple(days)),
        )
        for (phase, state, why), days in groups.items()
    )


def write_report(context: Context, report: Report) -> None:
    """Write the report's files below `HOME/reports`."""
    folder = context.settings.folder("reports") / report.run_id
    write_whole(folder / "report.json", json.dumps(report.as_json(), indent=1))
    write_whole(folder / "report.md", render_markdown(report))
    write_whole(folder / "report.html", render_page(report))


def settle_owed(context: Context, run: RunRecord, dates: dict[tuple[str, date], DateState]) -> None:
    """Cross out what the run has recomputed, if its note is on this machine."""
    done = {pair for pair, state in dates.items() if state is DateState.DONE}
    owed_files.cross_out(context.settings.folder("owed"), run.id, done)
