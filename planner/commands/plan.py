"""`planner plan`: what would be done about the gaps, and how a plan is shown to people."""

from __future__ import annotations

import json as json_module
import shlex
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from planner.console import options as opt
from planner.console.context import (
    ledger_if_any,
    open_context,
    read_assessment,
    read_changes,
)
from planner.console.option_groups import Planning, grouped
from planner.console.output import count_table, note, out, print_json
from planner.console.this_command import this_command
from planner.errors import UsageError
from planner.files import write_whole
from planner.gaps.gaps import Assessment, GapReason, SkipReason
from planner.pipeline.pipeline import Pipeline
from planner.plan.choices import choice_lines
from planner.plan.cost import PlanCost
from planner.plan.estimate import Estimate
from planner.plan.plan import Plan
from planner.text import counted, date_ranges, duration

USUAL = (GapReason.MISSING, GapReason.PARTIAL, GapReason.CASCADE)
"""Reasons that have a column in every plan; others where there are such dates."""

MANY_CHUNKS = 200
"""From so many chunks on, a plan advises to take more dates per call."""
WEEK = 7
CHUNK_DATES_MOST = 366


@grouped
def plan(
    *,
    options: Planning,
    out_file: opt.OutFile = None,
    html: opt.HtmlFile = None,
    gaps: Annotated[
        bool,
        typer.Option(
            "--gaps", help="The gaps, too, beside --redo or --changed; without these they are all."
        ),
    ] = False,
    as_: opt.As = None,
    json: opt.Json = False,
) -> None:
    """Plan the repair of the gaps, and do nothing. `--out` keeps it for `enqueue --plan`.

    `--html` writes a page: every date now and as planned, what is skipped and why, how long it
    takes, and the command that does it.
    """
    from worker.run.plan import plan_repair

    context = open_context()
    wanted = options.wanted(
        context.pipeline, gaps=gaps or not options.writes_anew, asked=this_command(as_)
    )
    ledger = ledger_if_any(context)
    assessment, cost = read_assessment(
        context,
        wanted.scope,
        plan_id=wanted.plan_id,
        **options.counting,
    )
    changes = read_changes(context, assessment, wanted)
    made = plan_repair(context, assessment, wanted, ledger=ledger, cost=cost, changes=changes)
    if out_file is not None:
        _write(out_file, made)
        note(f"Written to {out_file}: run it with `planner enqueue --plan {out_file}`.")
    if html is not None:
        words = ["--gaps"] if gaps or not options.writes_anew else []
        command = ["--plan", str(out_file)] if out_file else [*words, *options.words()]
        write_page(html, made, context.pipeline, assessment, ["planner", "enqueue", *command])
    if json:
        print_json(made.as_json())
    else:
        print_plan(made, context.pipeline)


def _write(path: Path, made: Plan) -> None:
    _write_named("--out", path, json_module.dumps(made.as_json(), indent=1))


def write_page(
    path: Path, made: Plan, pipeline: Pipeline, assessment: Assessment, command: list[str]
) -> None:
    """Write the plan's page. Raises `UsageError` where it cannot be."""
    from planner.report.html.heatmap import details_of
    from planner.report.html.plan_page import render_plan

    page = render_plan(made, pipeline, command=shlex.join(command), details=details_of(assessment))
    _write_named("--html", path, page)
    note(f"Written to {path}: open it in a browser.")


def _write_named(option: str, path: Path, text: str) -> None:
    try:
        write_whole(path, text)
    except OSError as error:
        raise UsageError(
            f"{option} {path} cannot be written: {error.strerror}. Name a file in a folder that "
            "you may write to."
        ) from None


def print_plan(plan: Plan, pipeline: Pipeline) -> None:
    """A plan for people: how many dates of which phase, for what reason."""
    if plan.is_empty and plan.leaves_gaps:
        out.print("Nothing to do that can be done now; what is skipped stands below.")
    elif plan.is_empty:
        out.print("Nothing to do.")
    else:
        out.print(_step_table(plan, pipeline))
        for line in [*estimate_lines(plan.estimate), *chunk_lines(plan)]:
            out.print(line, soft_wrap=True, markup=False)
    for line in choice_lines(plan.values, plan.pinned):
        note(line)
    _note_runners(plan)
    if plan.publishes:
        days = date_ranges(plan.publishes)
        note(f"published when the run has ended, and never verified, as no table shows it: {days}")
    print_skipped(plan)
    if plan.cost is not None and not plan.is_empty:
        for line in price_lines(plan.cost):
            note(line)


def _note_runners(plan: Plan) -> None:
    for phase, runner in plan.runners.items():
        if runner.absent:
            why = "; ".join(runner.absent)
            note(f"{phase} is run by its runner {runner.number} ({runner.kind}), because {why}")
        if runner.note:
            note(f"{phase}, runner {runner.number} ({runner.kind}): {runner.note}")


def _step_table(plan: Plan, pipeline: Pipeline) -> Table:
    """Phase × reason: how many dates its steps take."""
    per_phase: dict[str, Counter[str]] = {name: Counter() for name in pipeline.by_name}
    for _, step in plan.steps():
        per_phase[step.phase].update(str(task.reason) for task in step.tasks)
        per_phase[step.phase]["steps"] += 1
    reasons = [
        reason
        for reason in GapReason
        if reason in USUAL or any(tally[reason] for tally in per_phase.values())
    ]
    return count_table(
        f"{plan.plan_id}: {counted(len(plan.chunks), 'chunk')}, "
        f"{counted(plan.steps_total, 'step')}",
        ["phase", "steps", *reasons],
        [
            [phase, tally["steps"], *(tally[reason] for reason in reasons)]
            for phase, tally in per_phase.items()
            if tally["steps"]
        ],
    )


def price_lines(cost: PlanCost) -> list[str]:
    """What a run will be billed, for people, and what of it nothing tells."""
    parts = {
        "recounts": cost.recounts,
        "statements": cost.statements,
        "scripts": cost.scripts,
        "keeping and comparing rows": cost.keeping,
    }
    told = ", ".join(f"{what} {part}" for what, part in parts.items() if part)
    lines = [f"The run is billed about {cost.run}: {told}."]
    if cost.keeping is None:
        lines.append(
            "Nothing is kept of what is written over, by --no-keep or BACKFILL_KEEP=false, or "
            "since no BACKFILL_KEEP_DATASET names where."
        )
    lines += [f"not in it: {phase}, unknown: {why}" for phase, why in cost.unknown.items()]
    return lines


def chunk_lines(plan: Plan) -> list[str]:
    """A hint at larger chunks, where there are hundreds and they could hold more dates."""
    dates = max((len(step.tasks) for _, step in plan.steps()), default=0)
    more = min(dates * WEEK, CHUNK_DATES_MOST)
    if len(plan.chunks) < MANY_CHUNKS or more <= dates:
        return []
    each = counted(dates, "date")
    return [
        f"{counted(len(plan.chunks), 'chunk')} of {each} at most: --chunk-dates {more} has a step "
        f"do up to {more} dates in a row by one call."
    ]


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
    """What a plan skips, and what it owes, and why."""
    groups: dict[tuple[str, str, str | None], list[Any]] = {}
    still_open = [each for each in plan.skipped if each.reason is SkipReason.OPEN]
    if still_open:
        open_in = ", ".join(dict.fromkeys(each.phase for each in still_open))
        which = date_ranges({each.date for each in still_open})
        why = still_open[0].detail
        note(f"open: {which} of {open_in}: skipped ({why}); --include-open takes what is there")
    for each in plan.skipped:
        if each.reason is SkipReason.OPEN:
            continue
        groups.setdefault((each.phase, each.reason, each.run_id), []).append(each)
    for (phase, reason, run_id), group in groups.items():
        why = f"held by {run_id}" if run_id else group[0].detail
        note(f"skipped: {phase} {date_ranges(each.date for each in group)}: {reason} ({why})")
    for phase, days in plan.owed.items():
        note(f"owed: {phase} {date_ranges(days)} has to be recomputed, and is not in this plan")
