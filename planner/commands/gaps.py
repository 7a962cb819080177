"""`planner gaps`: which phases and dates are short, and why."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from planner.commands.plan import write_page
from planner.console import options as opt
from planner.console.accepted import accept_blocks, accepted_json, accepted_lines, needless_lines
from planner.console.changes import changes_json, print_changes
from planner.console.context import open_context, read_assessment
from planner.console.option_groups import Counting, grouped
from planner.console.output import count_table, matrix_table, note, out, print_json
from planner.console.output import summary as counted
from planner.console.strips import strip_lines
from planner.errors import Exit, UsageError
from planner.evidence.evidence import ALL_IDS, IDS_NAMED
from planner.gaps.gaps import (
    ANEW,
    FLAWS,
    OUTDATED,
    SHORT,
    Assessment,
    Gap,
    GapReason,
    SkipReason,
    recomputed,
)
from planner.gaps.matrix import matrix
from planner.gaps.notices import notices
from planner.pipeline.calendar import Calendar
from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Window
from planner.plan.asked import NONE_CHANGED
from planner.plan.cost import Cost
from planner.plan.plan import Plan
from planner.report.history import open_gaps, write_gaps
from planner.text import date_ranges

if TYPE_CHECKING:
    from worker.context import Context
    from worker.run.plan import Wanted

ENQUEUE = ("planner", "enqueue", "--gaps")
DETAILS_SHOWN = 10  # gaps that are explained one by one; the table has them all
MISSING = GapReason.MISSING

Entities = Annotated[
    bool, typer.Option("--entities", help="Name every date, with all ids that it lacks.")
]
Record = Annotated[
    bool, typer.Option("--record", help="Write them into data_gaps of BACKFILL_HISTORY_DATASET.")
]
Plain = Annotated[bool, typer.Option("--plain", help="Draw the days with ASCII alone.")]
Accept = Annotated[
    bool,
    typer.Option("--accept", help="Print what accepts them, to paste into the pipeline file."),
]


@grouped
def gaps(
    *,
    options: Counting,
    record: Record = False,
    entities: Entities = False,
    accept: Accept = False,
    plain: Plain = False,
    html: opt.HtmlFile = None,
    json: opt.Json = False,
) -> None:
    """Show which phases and dates are short of what their upstream holds, and why.

    missing and partial dates lack ids that upstream holds; duplicate, audit, unfilled and surplus
    are flaws of rows that are there; orphan rows stand where nothing upstream holds any. A source
    is late, missing or partial by what the pipeline file expects of it.

    Dates on which nothing is expected are no gaps: off_day (the source holds nothing), bootstrap
    (the warm-up: the first days of a season or period, too early for the phase), excluded (by the
    pipeline file), open (the day is not closed, or one that it reads), between (no date of a weekly
    or monthly phase). What the file accepts as lost counts as complete, and is listed apart.

    With --changed, dates that other code than today's made are gaps, too; where it is not known
    what made a date, it is none, and not in order either.

    Unjudged dates, whose source's rows are gone, are no gaps, and not in order either; nor are rows
    beyond the calendar.

    Exit code 0 when there are no gaps and all could be judged, 1 when not.
    """
    from worker.run.changed import changes as changes_of
    from worker.run.plan import plan_gaps

    _check(accept=accept, json=json)
    context = open_context()
    dataset = _history(context) if record else None
    scope = options.window(context.pipeline)
    wanted = _wanted(context.pipeline, options, scope)
    counted_at = datetime.now(UTC)  # before: what a run heals meanwhile is healed
    assessment, cost = _count(context, options, wanted, every_id=entities)
    told = notices(context.pipeline, assessment, scope)
    changes = changes_of(context, assessment, scope)
    plan = plan_gaps(context, assessment, wanted, ledger=None, changes=changes)
    found = all_gaps(context.pipeline, assessment, plan, scope, changed=changes.of(wanted.changed))
    if html is not None:
        write_page(html, plan, context.pipeline, assessment, [*ENQUEUE, *options.words()])
    if dataset is not None:
        _record(context, wanted.plan_id, dataset, assessment, scope.whole, counted_at)
    if json:
        counts = gaps_json(context.pipeline, assessment, scope, found, cost)
        print_json(counts | changes_json(changes))
    elif accept:
        _print_accept(context.pipeline, found)
    else:
        strips = strip_lines(context.pipeline, plan.days_before, scope, plain=plain)
        _print(context.pipeline, assessment, scope, found, told, options, entities, strips)
        print_changes(changes, options)
    doubts = told or (options.changed and changes.unknown)
    raise typer.Exit(Exit.GAPS if found or doubts else Exit.DONE)


def _wanted(pipeline: Pipeline, options: Counting, scope: Window) -> Wanted:
    """A plan of every gap: it tells which cascades there are."""
    from worker.run.plan import Wanted

    phases = opt.choose_phases(pipeline, None, None)
    return Wanted(
        scope=scope,
        phases=phases,
        cascade=not options.no_cascade,
        changed=phases if options.changed else (),
    )


def _count(
    context: Context, options: Counting, wanted: Wanted, *, every_id: bool
) -> tuple[Assessment, Cost | None]:
    return read_assessment(
        context,
        wanted.scope,
        plan_id=wanted.plan_id,
        ids_named=ALL_IDS if every_id else IDS_NAMED,
        **options.counting,
    )


def _check(*, accept: bool, json: bool) -> None:
    if accept and json:
        raise UsageError("--accept prints TOML: give it without --json.")


def _history(context: Context) -> str:
    """The dataset to record gaps in. Raises `UsageError` where there is none."""
    if context.settings.history_dataset is None:
        raise UsageError("--record needs BACKFILL_HISTORY_DATASET, the dataset to write to.")
    return context.settings.history_dataset


def _record(
    context: Context,
    plan_id: str,
    dataset: str,
    assessment: Assessment,
    scope: Window,
    counted_at: datetime,
) -> None:
    """Write the gaps into the history in the warehouse."""
    write_gaps(
        context.warehouse.labelled(plan_id=plan_id, phase="history"),
        dataset,
        context.pipeline.name,
        open_gaps(assessment, {}, scope),
        counted=scope,
        detected=counted_at,
        now=counted_at.timestamp(),
    )


def _print_accept(pipeline: Pipeline, found: list[Gap]) -> None:
    out.print(accept_blocks(pipeline, found), markup=False, soft_wrap=True, end="")
    note("Say in each reason why the rows cannot come any more.")


def _print(
    pipeline: Pipeline,
    assessment: Assessment,
    scope: Window,
    found: list[Gap],
    told: list[str],
    options: Counting,
    entities: bool,
    strips: Iterable[Text],
) -> None:
    for line in told:
        out.print(line, style="red", soft_wrap=True, markup=False)
    counts = matrix(pipeline, assessment, scope)
    out.print(matrix_table(counts, scope.title, pipeline.entity))
    for strip in strips:
        out.print(strip, no_wrap=True, crop=True)
    if found or not told:
        _print_gaps(pipeline, found, options, entities=entities)
    else:
        out.print("No gaps among the dates that can be judged.")
    _print_open(assessment, scope)
    _print_empty(assessment, scope)
    _print_end(pipeline)
    for line in accepted_lines(assessment, scope):
        note(line)
    for line in needless_lines(pipeline, assessment, scope):
        note(line)


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
                "accepted": sum(day in scope for day in assessment.accepted.get(phase.name, ())),
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
                "findings": [asdict(finding) for finding in gap.findings],
            }
            for gap in found
        ],
        "empty": [
            {"phase": left.phase, "date": left.date, "reason": left.reason}
            for phase in pipeline.phases
            for day, left in sorted(assessment.empty[phase.name].items())
            if day in scope
        ],
        "accepted": accepted_json(assessment, scope),
        "beyond": [{"phase": left.phase, "date": left.date} for left in assessment.beyond],
        "notices": notices(pipeline, assessment, scope),
        "cost": cost and cost.model_dump(),
    }


def all_gaps(
    pipeline: Pipeline,
    assessment: Assessment,
    plan: Plan,
    scope: Window,
    *,
    changed: Mapping[str, Collection[date]] = NONE_CHANGED,
) -> list[Gap]:
    """Counted gaps and orphans of the scope, stale and changed dates, and the cascades of
    repairing them.

    Of the stale and changed dates those, too, that the plan skips.
    """
    recompute = plan.recompute
    found: list[Gap] = []
    for phase in pipeline.phases:
        counted = {day: gap for day, gap in assessment.gaps[phase.name].items() if day in scope}
        stale = {day for day in assessment.stale.get(phase.name, ()) if day in scope}
        reasons = dict.fromkeys(stale, GapReason.STALE) | recompute.get(phase.name, {})
        reasons |= dict.fromkeys(changed.get(phase.name, ()), GapReason.CHANGED)
        redone = {
            day: recomputed(phase, day, assessment, reason)
            for day, reason in reasons.items()
            if day not in counted
        }
        orphans = {
            day: gap for day, gap in assessment.orphans.get(phase.name, {}).items() if day in scope
        }
        found += [gap for _, gap in sorted({**redone, **counted, **orphans}.items())]
    return found


def _print_gaps(pipeline: Pipeline, found: list[Gap], options: Counting, *, entities: bool) -> None:
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
    told = [gap for gap in found if gap.findings and (entities or gap.reason is not MISSING)]
    for gap in told[: None if entities else DETAILS_SHOWN]:
        out.print(f"{gap.phase} {gap.date}: {gap.detail}", soft_wrap=True, markup=False)
    if len(told) > DETAILS_SHOWN and not entities:
        out.print(f"… {len(told) - DETAILS_SHOWN:,} more; --entities shows them all.")
    _print_advice(pipeline, found, options)


def _print_advice(pipeline: Pipeline, found: list[Gap], options: Counting) -> None:
    """What repairs which of the gaps, with the options that they were asked for with."""
    sources = dict.fromkeys(gap.phase for gap in found if pipeline.by_name[gap.phase].is_watched)
    reasons = {reason for gap in found if gap.phase not in sources for reason in gap.reasons}
    flaws = [reason for reason in FLAWS if reason in reasons]
    command = shlex.join([*ENQUEUE, *options.words()])
    if not reasons.isdisjoint(SHORT | OUTDATED | ANEW):
        out.print(f"Repair them with: {command}", soft_wrap=True, markup=False)
    if flaws:
        out.print(
            "Rows that are there are written anew only when asked: "
            f"{command} --reasons {','.join(flaws)}",
            soft_wrap=True,
            markup=False,
        )
    if sources:
        out.print(f"No phase writes {', '.join(sources)}: mend its rows where they come from.")
    if GapReason.ORPHAN in reasons:
        out.print("Orphans are left as they are: a repair deletes no rows.", soft_wrap=True)


def _print_open(assessment: Assessment, scope: Window) -> None:
    """Days that are skipped, because they are not over."""
    found = assessment.unsettled(SkipReason.OPEN, scope)
    for days in dict.fromkeys(map(tuple, found.values())):
        names = [phase for phase, dates in found.items() if tuple(dates) == days]
        told = assessment.empty[names[0]][days[0]].detail
        out.print(
            f"Open, and skipped: {date_ranges(days)} of {', '.join(names)} ({told}"
            f"{', the first of them' if len(days) > 1 else ''}). "
            "--include-open judges what is there.",
            soft_wrap=True,
            markup=False,
        )


def _print_end(pipeline: Pipeline) -> None:
    last = Calendar(pipeline=pipeline).last
    if last is not None and last < opt.today(pipeline):
        note(f"The calendar of the pipeline file ends on {last}: later days are not judged.")


def _first_telling(assessment: Assessment, scope: Window) -> date:
    """The first day of the scope on which a phase is more than off or between its dates."""
    days = {
        day for each in (assessment.complete, assessment.gaps) for d in each.values() for day in d
    }
    days |= {
        day
        for each in assessment.empty.values()
        for day, left in each.items()
        if left.reason not in (SkipReason.OFF_DAY, SkipReason.BETWEEN)
    }
    return min((day for day in days if day in scope), default=scope.start)


def _print_empty(assessment: Assessment, scope: Window) -> None:
    first = _first_telling(assessment, scope)
    if first > scope.start:
        note(f"before {first}, from {scope.start}: the sources hold nothing, and nothing is due")
    for phase, days in assessment.empty.items():
        reasons = Counter(
            str(left.reason)
            for day, left in days.items()
            if day in scope
            and day >= first
            and left.reason not in (SkipReason.OPEN, SkipReason.UNJUDGED)
        )
        note(f"legitimately empty: {phase}: {counted(reasons)}")
