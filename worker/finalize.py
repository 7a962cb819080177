"""Finalization: after every step has settled, the final validation and the report, once."""

from __future__ import annotations

import json
import logging
import time
from collections import defaultdict
from dataclasses import replace
from datetime import date

from planner import owed as owed_files
from planner.criteria import judge
from planner.facts import Facts, count_tables
from planner.gaps import AGAIN, Health, Reason
from planner.markdown import render_markdown
from planner.matrix import matrix
from planner.owed import write_whole
from planner.page import render_page
from planner.pipeline import Pipeline
from planner.plan import Plan, step_id
from planner.report import Failure, Report, Short, StepRow, Validation, retry_command
from planner.snapshot import snapshot
from sql import WarehouseError
from worker.fleet import Fleet
from worker.lease import Lease, Resource
from worker.ledger import RunRecord
from worker.states import STEP_ENDED, DateState, RunState, StepState
from worker.steps import Again

log = logging.getLogger(__name__)

UNSETTLED_LOOK_SECONDS = 5.0  # between two looks while steps are still to settle
WAREHOUSE_LOOK_SECONDS = 30.0  # between two tries while the warehouse does not answer


def finalize(fleet: Fleet, run_id: str) -> str:
    """Validate, report and end a run. Raises `Again` while it cannot be.

    Safe to call at any time, anywhere, any number of times.
    """
    run, plan = fleet.ledger.run(run_id), fleet.plan(run_id)
    if run is None or plan is None:
        return "forgotten"
    if run.is_ended:
        return str(run.state)
    if not all(state in STEP_ENDED for state in fleet.ledger.steps(run_id).values()):
        raise Again(UNSETTLED_LOOK_SECONDS)
    lease = Lease(
        fleet.redis, [Resource(name=f"final:{run_id}")], seconds=fleet.settings.lease_seconds
    )
    if lease.acquire() is not None:
        raise Again(UNSETTLED_LOOK_SECONDS)
    try:
        with lease:
            try:
                warehouse = fleet.warehouse.labelled(plan_id=plan.plan_id, phase="final")
                facts = count_tables(warehouse, fleet.pipeline, plan.reach)
            except WarehouseError:
                raise Again(WAREHOUSE_LOOK_SECONDS) from None
            return _conclude(fleet, run, plan, facts)
    finally:
        lease.release()


def _conclude(fleet: Fleet, run: RunRecord, plan: Plan, facts: Facts) -> str:
    dates = fleet.ledger.all_dates(run.id)
    again = _undone(plan, dates)
    stale = {
        phase: [day for day, why in days.items() if why is Reason.STALE]
        for phase, days in again.items()
    }
    health = replace(facts.health, stale=stale)
    validation = _validate(plan, health, dates)
    rows = _rows(fleet, run, plan)
    state = _state(run, rows, validation)
    reach = plan.reach
    report = Report(
        run_id=run.id,
        plan_id=plan.plan_id,
        pipeline=plan.pipeline,
        warehouse=plan.warehouse,
        entity=fleet.pipeline.entity,
        state=state,
        reason=plan.reason,
        scope=plan.scope,
        created=run.created,
        started=run.started,
        ended=time.time(),
        steps=rows,
        validation=validation,
        criteria=tuple(judge(facts)),
        failures=failures(fleet, run, plan, dates),
        left_alone=len(plan.skipped),
        before=plan.before,
        after=matrix(fleet.pipeline, health),
        seasons=tuple(
            season
            for season in fleet.pipeline.seasons
            if season.start <= reach.end and reach.start <= season.end
        ),
        days_before=plan.days_before,
        days_after=snapshot(fleet.pipeline, health, reach, again),
        estimate=_estimate(fleet.pipeline, plan),
    )
    fleet.ledger.save_report(run.id, report.model_dump_json())
    summary = validation.model_dump(mode="json", exclude={"short"})
    summary["short"] = len(validation.short)
    if fleet.ledger.conclude(run.id, state, {"validation": json.dumps(summary)}):
        log.warning("%s has ended: %s", run.id, state)
    settle_owed(fleet, run, dates)
    try:
        write_report(fleet, report)
    except OSError as error:  # `planner report` writes it anew, when there is room
        log.warning("%s: the report's files cannot be written: %s", run.id, error)
    return str(state)


def _undone(plan: Plan, dates: dict[tuple[str, date], DateState]) -> dict[str, dict[date, Reason]]:
    """Dates that still have to be computed again: of the plan, and stale ones it did not take."""
    found = plan.again
    for phase in plan.days_before.phases:
        known = found.setdefault(phase, {})
        for day in plan.days_before.days(phase, Reason.STALE):
            known.setdefault(day, Reason.STALE)
    return {
        phase: {d: why for d, why in days.items() if dates.get((phase, d)) is not DateState.DONE}
        for phase, days in found.items()
    }


def _estimate(pipeline: Pipeline, plan: Plan) -> dict[str, float] | None:
    """Phase → seconds of work, as far as the pipeline file knows; None when it knows nothing."""
    seconds: dict[str, float] = {}
    for _, step in plan.steps():
        of_a_date = pipeline.by_name[step.phase].seconds_per_date
        if of_a_date is not None:
            seconds[step.phase] = seconds.get(step.phase, 0.0) + of_a_date * len(step.dates)
    return seconds or None


def _validate(plan: Plan, health: Health, dates: dict[tuple[str, date], DateState]) -> Validation:
    """A date passes when a fresh count finds it complete, and its rows were computed since."""
    short: list[Short] = []
    taken: set[tuple[str, date]] = set()
    for _, step in plan.steps():
        for task in step.tasks:
            pair = (step.phase, task.date)
            taken.add(pair)
            gap = health.gaps[step.phase].get(task.date)
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
            elif task.reason in AGAIN and dates.get(pair) is not DateState.DONE:
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
        for phase, gaps in health.gaps.items()
        for day in gaps
    )
    return Validation(passed=not short, checked=len(taken), short=tuple(short), remaining=remaining)


def _state(run: RunRecord, rows: tuple[StepRow, ...], validation: Validation) -> RunState:
    if run.state is RunState.CANCELLING:
        return RunState.CANCELLED
    if validation.passed and all(row.state == StepState.SUCCEEDED for row in rows):
        return RunState.COMPLETE
    return RunState.FAILED


def _rows(fleet: Fleet, run: RunRecord, plan: Plan) -> tuple[StepRow, ...]:
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
        )
        for record in fleet.ledger.step_records(run.id, steps)
    )


def failures(
    fleet: Fleet, run: RunRecord, plan: Plan, dates: dict[tuple[str, date], DateState]
) -> tuple[Failure, ...]:
    """Dates that are not done, grouped by phase, state and reason."""
    groups: dict[tuple[str, str, str], list[date]] = defaultdict(list)
    for chunk in plan.chunks:
        cause = ""
        for step in chunk.steps:
            problems = fleet.ledger.problems(run.id, step_id(chunk.id, step.phase))
            for day in step.dates:
                state = dates.get((step.phase, day), DateState.PENDING)
                if state is not DateState.DONE:
                    why = problems.get(day) or cause or str(state)
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


def write_report(fleet: Fleet, report: Report) -> None:
    """Write the report's files below `HOME/reports`."""
    folder = fleet.settings.folder("reports") / report.run_id
    write_whole(folder / "report.json", json.dumps(report.as_json(), indent=1))
    write_whole(folder / "report.md", render_markdown(report))
    write_whole(folder / "report.html", render_page(report))


def settle_owed(fleet: Fleet, run: RunRecord, dates: dict[tuple[str, date], DateState]) -> None:
    """Cross out what the run has recomputed, if its note is on this machine."""
    folder = fleet.settings.folder("owed")
    done = {pair for pair, state in dates.items() if state is DateState.DONE}
    for note in owed_files.read(folder, pipeline=run.pipeline, warehouse=run.warehouse):
        if note.run_id == run.id:
            owed_files.save(folder, note.without(done))
