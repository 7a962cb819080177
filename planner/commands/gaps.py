"""`planner gaps` and `planner plan`: what is missing, and what would be done about it."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from planner.commands import options as opt
from planner.commands.context import ledger_if_any, open_context, read_assessment
from planner.commands.output import count_table, matrix_table, note, out, print_json
from planner.commands.output import summary as counted
from planner.errors import Exit, UsageError
from planner.files import write_whole
from planner.gaps.gaps import Assessment, Gap, GapReason, recomputed
from planner.gaps.matrix import matrix
from planner.pipeline.calendar import Calendar
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Window
from planner.plan.cost import Cost
from planner.plan.estimate import Estimate
from planner.plan.plan import Plan
from planner.report.history import open_gaps, write_gaps
from planner.text import date_ranges, duration


def gaps(
    start: opt.Start = None,
    end: opt.End = None,
    season: opt.SeasonOption = None,
    no_cascade: opt.NoCascade = False,
    stale: opt.Stale = False,
    max_bytes: opt.MaxBytes = None,
    record: Annotated[
        bool,
        typer.Option("--record", help="Write them into data_gaps of BACKFILL_HISTORY_DATASET."),
    ] = False,
    json: opt.Json = False,
) -> None:
    """Show which phases and dates are short of what their upstream holds, and why.

    Exit code 0 when there are none, 1 when there are.
    """
    from worker.run.plan import Wanted, plan_gaps

    context = open_context()
    dataset = context.settings.history_dataset
    if record and dataset is None:
        raise UsageError("--record needs BACKFILL_HISTORY_DATASET, the dataset to write to.")
    calendar = Calendar(pipeline=context.pipeline)
    scope = calendar.scope(today=opt.today(), start=start, end=end, season=season)
    runnable = opt.choose_phases(context.pipeline, None, None)
    wanted = Wanted(scope=scope, phases=runnable, cascade=not no_cascade)
    counted_at = datetime.now(UTC)  # before: what a run heals meanwhile is healed
    assessment, cost = read_assessment(
        context, scope, plan_id=wanted.plan_id, stale=stale, max_bytes=max_bytes
    )
    plan = plan_gaps(context, assessment, wanted, ledger=None)
    found = all_gaps(context.pipeline, assessment, plan, scope)
    if record and dataset is not None:
        write_gaps(
            context.warehouse.labelled(plan_id=wanted.plan_id, phase="history"),
            dataset,
            context.pipeline.name,
            open_gaps(assessment, {}, scope),
            counted=scope,
            detected=counted_at,
            now=counted_at.timestamp(),
        )
    if json:
        print_json(gaps_json(context.pipeline, assessment, scope, found, cost))
    else:
        counts = matrix(context.pipeline, assessment)
        out.print(matrix_table(counts, f"{scope.start} to {scope.end}", context.pipeline.entity))
        _print_gaps(found)
        _print_empty(assessment, scope)
    raise typer.Exit(Exit.GAPS if found else Exit.DONE)


def plan(
    gaps_: opt.GapsFlag = True,
    start: opt.Start = None,
    end: opt.End = None,
    season: opt.SeasonOption = None,
    phases: opt.Phases = None,
    from_phase: opt.FromPhase = None,
    chunk_dates: opt.ChunkDates = None,
    newest_first: opt.NewestFirst = False,
    limit: opt.Limit = None,
    no_cascade: opt.NoCascade = False,
    stale: opt.Stale = False,
    max_bytes: opt.MaxBytes = None,
    reason: opt.ReasonText = "",
    out_file: opt.OutFile = None,
    json: opt.Json = False,
) -> None:
    """Plan the repair of the gaps, and do nothing. `--out` keeps it for `enqueue --plan`."""
    from worker.run.plan import Wanted, plan_repair

    context = open_context()
    scope = Calendar(pipeline=context.pipeline).scope(
        today=opt.today(), start=start, end=end, season=season
    )
    wanted = Wanted(
        scope=scope,
        phases=opt.choose_phases(context.pipeline, phases, from_phase),
        cascade=not no_cascade,
        chunk_dates=chunk_dates,
        newest_first=newest_first,
        limit=limit,
        reason=reason,
    )
    ledger = ledger_if_any(context)
    assessment, cost = read_assessment(
        context, scope, plan_id=wanted.plan_id, stale=stale, max_bytes=max_bytes
    )
    made = plan_repair(context, assessment, wanted, ledger=ledger, cost=cost)
    if out_file is not None:
        import json as json_module

        try:
            write_whole(out_file, json_module.dumps(made.as_json(), indent=1))
        except OSError as error:
            raise UsageError(
                f"--out {out_file} cannot be written: {error.strerror}. Name a file in a folder "
                "that you may write to."
            ) from None
        note(f"Written to {out_file}: run it with `planner enqueue --plan {out_file}`.")
    if json:
        print_json(made.as_json())
    else:
        print_plan(made, context.pipeline)


def gaps_json(
    pipeline: Pipeline, assessment: Assessment, scope: Window, found: list[Gap], cost: Cost | None
) -> dict[str, Any]:
    """The documented shape of `planner gaps --json`."""
    return {
        "pipeline": pipeline.name,
        "scope": {"start": scope.start, "end": scope.end},
        "phases": [
            {
                "phase": phase.name,
                "expected": sum(assessment.is_due(phase.name, day) for day in scope.days()),
                "complete": sum(
                    day in scope
                    for day in assessment.complete[phase.name]
                    if day not in assessment.stale.get(phase.name, ())
                ),
                "gaps": sum(gap.phase == phase.name for gap in found),
            }
            for phase in pipeline.phases
        ],
        "gaps": [
            {
                "phase": gap.phase,
                "date": gap.date,
                "reason": gap.reason,
                "expected": gap.expected,
                "found": gap.found,
                "tables": list(gap.tables),
            }
            for gap in found
        ],
        "empty": [
            {"phase": left.phase, "date": left.date, "reason": left.reason}
            for phase in pipeline.phases
            for day, left in sorted(assessment.empty[phase.name].items())
            if day in scope
        ],
        "cost": cost and cost.model_dump(),
    }


def all_gaps(pipeline: Pipeline, assessment: Assessment, plan: Plan, scope: Window) -> list[Gap]:
    """Counted gaps of the scope, stale dates, and the cascades of repairing them.

    Of the stale dates those, too, that the plan skips.
    """
    recompute = plan.recompute
    found: list[Gap] = []
    for phase in pipeline.phases:
        counted = {day: gap for day, gap in assessment.gaps[phase.name].items() if day in scope}
        stale = {day for day in assessment.stale.get(phase.name, ()) if day in scope}
        reasons = dict.fromkeys(stale, GapReason.STALE) | recompute.get(phase.name, {})
        redone = {
            day: recomputed(phase, day, assessment, reason)
            for day, reason in reasons.items()
            if day not in counted
        }
        found += [gap for _, gap in sorted({**redone, **counted}.items())]
    return found


def print_plan(plan: Plan, pipeline: Pipeline) -> None:
    """A plan for people: how many dates of which phase, for what reason."""
    if plan.is_empty:
        out.print("Nothing to do.")
    else:
        per_phase: dict[str, Counter[str]] = {name: Counter() for name in pipeline.by_name}
        for _, step in plan.steps():
            per_phase[step.phase].update(str(task.reason) for task in step.tasks)
            per_phase[step.phase]["steps"] += 1
        stale = any(tally[GapReason.STALE] for tally in per_phase.values())
        reasons = [reason for reason in GapReason if reason is not GapReason.STALE or stale]
        out.print(
            count_table(
                f"{plan.plan_id}: {len(plan.chunks)} chunks, {plan.steps_total} steps",
                ["phase", "steps", *reasons],
                [
                    [phase, tally["steps"], *(tally[reason] for reason in reasons)]
                    for phase, tally in per_phase.items()
                    if tally["steps"]
                ],
            )
        )
        for line in estimate_lines(plan.estimate):
            out.print(line, soft_wrap=True, markup=False)
    for phase, runner in plan.runners.items():
        if runner.absent:
            why = "; ".join(runner.absent)
            note(f"{phase} is run by its runner {runner.number} ({runner.kind}), because {why}")
    if plan.publishes:
        days = date_ranges(plan.publishes)
        note(f"published when the run has ended, and never verified, as no table shows it: {days}")
    print_skipped(plan)
    if plan.cost is not None and not plan.is_empty:
        note(f"Recounts of the run are billed about {plan.cost.recounts}.")


def estimate_lines(estimate: Estimate | None) -> list[str]:
    """An estimate for people: how long, with how many slots, and where that is known from."""
    if estimate is None:
        return []
    slots = f"{estimate.slots} slot{'s' if estimate.slots > 1 else ''}"
    if estimate.slots_are_assumed:
        slots += " (assumed: no worker is there)"
    if estimate.seconds is None:
        lines = [
            f"No estimate: {', '.join(estimate.unknown)} never ran here. `seconds_per_date` in the "
            "pipeline file would say how long a date takes."
        ]
    else:
        line = f"about {duration(estimate.seconds)} with {slots}"
        if (estimate.worst_seconds or 0) > estimate.seconds:
            line += f", at worst {duration(estimate.worst_seconds or 0)}"
        lines = [f"{line}; {_sources(estimate)}"]
    lines += [
        f"{each.table} needs {each.writes:,} writes, and has {each.daily_writes:,} in 24 hours: "
        f"the plan takes {each.days} days."
        for each in estimate.budgets
    ]
    return lines


def _sources(estimate: Estimate) -> str:
    filed = [name for name, phase in estimate.phases.items() if phase.source == "file"]
    if len(filed) == len(estimate.phases):
        return "from the pipeline file's figures"
    runs = f"from {estimate.runs} earlier run{'s' if estimate.runs > 1 else ''}"
    return runs + (f", {', '.join(filed)} from the pipeline file" if filed else "")


def print_skipped(plan: Plan) -> None:
    """What a plan does not take, and why."""
    groups: dict[tuple[str, str, str | None], list[Any]] = {}
    for left in plan.skipped:
        groups.setdefault((left.phase, left.reason, left.run_id), []).append(left)
    for (phase, reason, run_id), lefts in groups.items():
        why = f"held by {run_id}" if run_id else lefts[0].detail
        note(f"left alone: {phase} {date_ranges(left.date for left in lefts)}: {reason} ({why})")
    for phase, days in plan.owed.items():
        note(f"owed: {phase} {date_ranges(days)} has to be computed again, and is not in this plan")


def _print_gaps(found: list[Gap]) -> None:
    if not found:
        out.print("No gaps.")
        return
    groups: dict[tuple[str, str], list[Gap]] = {}
    for gap in found:
        groups.setdefault((gap.phase, gap.reason), []).append(gap)
    rows = [
        [phase, reason, len(group), date_ranges(gap.date for gap in group)]
        for (phase, reason), group in groups.items()
    ]
    table = count_table("gaps", ["phase", "reason", "dates", "which"], rows)
    table.columns[1].justify = table.columns[3].justify = "left"
    out.print(table)
    out.print("Repair them with: planner enqueue --gaps")


def _print_empty(assessment: Assessment, scope: Window) -> None:
    for phase, days in assessment.empty.items():
        reasons = Counter(str(left.reason) for day, left in days.items() if day in scope)
        note(f"legitimately empty: {phase}: {counted(reasons)}")
