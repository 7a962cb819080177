"""The report of a run: the plan, the ledger and the final count, put together.

Reads the ledger and writes nothing; `worker.finalization.finalize` does.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cached_property

from planner.gaps.gaps import Assessment, GapReason, SkipReason
from planner.gaps.matrix import matrix
from planner.gaps.snapshot import snapshot
from planner.pipeline.calendar import Calendar
from planner.pipeline.publish import Publication
from planner.pipeline.shape import shapes
from planner.plan.plan import Plan, Step
from planner.plan.states import DateState, RunState, StepState
from planner.report.report import Remark, Report, StepRow, Validation
from planner.validation.counts import Counts
from planner.validation.judge import judge
from worker.context import Context
from worker.finalization.final_count import uncounted
from worker.finalization.validation import Pair, losses, orphans, validate
from worker.ledger.ends import KEEP_SECONDS
from worker.ledger.record import RunRecord, StepRecord
from worker.status.failures import failures
from worker.step.recount import OWN_WORD

DAY_SECONDS = 86_400
UNCOUNTED = "The run ended without its final count, and what it shows after is what was before"


@dataclass(frozen=True, kw_only=True)
class FinalState:
    """How the dates of a run stand when all its steps have settled."""

    plan: Plan
    dates: dict[tuple[str, date], DateState]
    """Phase and date → state in the ledger."""
    recounts: Mapping[Pair, tuple[int, int]]
    """Phase and date → entities that were due, and there, at the recount of its step."""
    remarks: tuple[Remark, ...]
    """What there is to know of dates that are done."""
    counted: Counts | str
    """The final count; or, in words, why there is none."""

    @property
    def counts(self) -> Counts | None:
        """The final count; None without one."""
        return None if isinstance(self.counted, str) else self.counted

    @property
    def note(self) -> str:
        """Why there is no final count; empty when there is one."""
        return f"{UNCOUNTED}: {self.counted}" if isinstance(self.counted, str) else ""

    @cached_property
    def to_recompute(self) -> dict[str, dict[date, GapReason]]:
        """Dates that still have to be recomputed: of the plan, and stale ones it did not take."""
        return _to_recompute(self.plan, self.dates)

    @cached_property
    def assessment(self) -> Assessment | None:
        """What the final count shows; None without one."""
        if self.counts is None:
            return None
        stale = {
            phase: [day for day, why in days.items() if why is GapReason.STALE]
            for phase, days in self.to_recompute.items()
        }
        return replace(self.counts.assessment, stale=stale)

    @cached_property
    def validation(self) -> Validation:
        """The final validation; without a count, no date passes."""
        if self.assessment is None or self.counts is None:
            return uncounted(self.plan)
        vouched = {
            (remark.phase, day)
            for remark in self.remarks
            if OWN_WORD in remark.text
            for day in remark.dates
        }
        return validate(self.plan, self.counts, self.assessment, self.dates, self.recounts, vouched)


def report_of(
    context: Context, run: RunRecord, final: FinalState, publication: Publication | None
) -> Report:
    """Put the report together."""
    plan, assessment, counts = final.plan, final.assessment, final.counts
    rows = _rows(context, run, plan)
    reach = plan.reach
    return Report(
        run_id=run.id,
        plan_id=plan.plan_id,
        pipeline=plan.pipeline,
        warehouse=plan.warehouse,
        entity=context.pipeline.entity,
        shapes=shapes(context.pipeline),
        state=_state(run, rows, final.validation),
        reason=plan.reason,
        values=plan.values,
        pinned=plan.pinned,
        commands=context.ledger.commands(run),
        scope=plan.scope,
        created=run.created,
        started=run.started,
        ended=context.ledger.now(),
        steps=rows,
        validation=final.validation,
        criteria=tuple(judge(counts)) if counts else (),
        publication=publication,
        failures=failures(context, run, plan, final.dates),
        left_alone=sum(left.reason is not SkipReason.OPEN for left in plan.skipped),
        before=plan.before,
        after=matrix(context.pipeline, assessment, reach) if assessment else plan.before,
        seasons=Calendar(pipeline=context.pipeline).seasons(reach),
        days_before=plan.days_before,
        days_after=(
            snapshot(context.pipeline, assessment, reach, final.to_recompute)
            if assessment
            else plan.days_before
        ),
        estimate=_foreseen(plan),
        notes=(final.note,) if final.note else (),
        losses=losses(plan.days_before, assessment) if assessment else (),
        orphans=orphans(assessment, reach) if assessment else (),
        remarks=final.remarks,
        code=context.ledger.code(run.id),
        kept_until=_kept_until(run, rows),
    )


def recounts(context: Context, run: RunRecord, plan: Plan) -> dict[Pair, tuple[int, int]]:
    """What the recounts of a run's steps showed: entities due, and there, by phase and date."""
    steps = dict(plan.steps())
    told = context.ledger.told(run.id, [*steps], "counts")
    return {
        (step.phase, day): (due, there)
        for name, step in steps.items()
        for day, (due, there) in told[name].items()
    }


def remarks(context: Context, run: RunRecord, plan: Plan) -> tuple[Remark, ...]:
    """Remarks on dates that are done, one entry per phase and text."""
    groups: dict[tuple[str, str], list[date]] = defaultdict(list)
    steps = dict(plan.steps())
    told = context.ledger.told(run.id, [*steps], "remarks")
    for name, step in steps.items():
        for day, text in told[name].items():
            groups[step.phase, text].append(day)
    return tuple(
        Remark(phase=phase, dates=tuple(sorted(days)), text=text)
        for (phase, text), days in groups.items()
    )


def _to_recompute(
    plan: Plan, dates: dict[tuple[str, date], DateState]
) -> dict[str, dict[date, GapReason]]:
    found = plan.recompute
    for phase in plan.days_before.phases:
        known = found.setdefault(phase, {})
        for day in plan.days_before.days(phase, GapReason.STALE):
            known.setdefault(day, GapReason.STALE)
    return {
        phase: {d: why for d, why in days.items() if dates.get((phase, d)) is not DateState.DONE}
        for phase, days in found.items()
    }


def _kept_until(run: RunRecord, rows: Iterable[StepRow]) -> float | None:
    """The warehouse keeps from the first write on; the ledger tells where for a month after the
    end."""
    begun = [row.started for row in rows if row.started is not None]
    if not run.keep or not begun:
        return None
    return min(begun) + min(run.keep_days * DAY_SECONDS, KEEP_SECONDS)


def _foreseen(plan: Plan) -> dict[str, float] | None:
    """Phase → seconds of work, as far as the plan knew; None when it knew nothing."""
    phases = plan.estimate.phases if plan.estimate else {}
    return {name: phase.seconds for name, phase in phases.items()} or None


def _state(run: RunRecord, rows: tuple[StepRow, ...], validation: Validation) -> RunState:
    if run.state is RunState.CANCELLING:
        return RunState.CANCELLED
    if validation.passed and all(row.state == StepState.SUCCEEDED for row in rows):
        return RunState.COMPLETE
    return RunState.FAILED


def _rows(context: Context, run: RunRecord, plan: Plan) -> tuple[StepRow, ...]:
    steps = dict(plan.steps())
    records = context.ledger.step_records(run.id, steps)
    return tuple(row_of(record, steps[record.id]) for record in records)


def row_of(record: StepRecord, step: Step) -> StepRow:
    """The report's row of a step."""
    return StepRow(
        id=record.id,
        phase=step.phase,
        dates=step.dates,
        state=record.state,
        worker=record.worker,
        attempt=record.attempt,
        started=record.started,
        ended=record.ended,
        error=record.error,
        worked=record.worked,
        billed=record.billed,
        labelled=record.labelled,
    )
