"""`planner explain`: everything that is known of one phase and date."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

import typer

from planner import clock
from planner.console import options as opt
from planner.console.context import ledger_if_any, open_context, read_assessment
from planner.console.output import note, out, print_json
from planner.errors import Exit, UsageError
from planner.gaps.gaps import FLAWS, SHORT
from planner.gaps.standing import (
    COMPLETE,
    Standing,
    above,
    below,
    by_state,
    rests_on_gaps,
    standing,
)
from planner.pipeline.calendar import Calendar
from planner.pipeline.phase import Phase
from planner.pipeline.pipeline import Pipeline
from planner.plan.plan import new_id
from planner.text import counted, date_runs, nearest

if TYPE_CHECKING:
    from worker.context import Context
    from worker.status.runs_of_date import Tried

RUNS_SHOWN = 3
RANGES_SHOWN = 4

PhaseName = Annotated[str, typer.Argument(metavar="PHASE", help="A phase of the pipeline file.")]
Day = Annotated[
    date, typer.Argument(parser=opt.parse_day, metavar="DATE", help="One of its dates.")
]


@dataclass(frozen=True, kw_only=True)
class Known:
    """Everything that is known of one date."""

    phase: Phase
    found: Standing
    rests_on: list[Standing]
    rest_on_it: list[Standing]
    cascades: bool
    """Whether it is complete, and its repair is that of what it rests on."""
    holder: str | None
    """The run that has it in flight."""
    runs: list[Tried] | None
    """The latest that had it to do; None without a ledger."""


def explain(
    phase: PhaseName, day: Day, max_bytes: opt.MaxBytes = None, json: opt.Json = False
) -> None:
    """Explain one date of a phase: what it must hold and holds, what it rests on, who tried.

    Counts the date, the days that it is computed from and those that are computed from it. Exit
    code 0 when the date is complete, accepted or rightly empty, 1 when it is a gap.
    """
    context = open_context().naming(phase)
    pipeline = context.pipeline
    of = _phase(pipeline, phase)
    scope = Calendar(pipeline=pipeline).scope(
        today=opt.today(pipeline), start=day, end=day, season=None
    )
    assessment, _ = read_assessment(
        context, scope, plan_id=new_id("plan", clock.now()), max_bytes=max_bytes
    )
    found = standing(assessment, phase, day)
    holder, runs = _in_ledger(context, phase, day)
    known = Known(
        phase=of,
        found=found,
        rests_on=above(assessment, of, day),
        rest_on_it=below(assessment, pipeline, phase, day),
        cascades=found.state == COMPLETE and rests_on_gaps(assessment, pipeline, phase, day),
        holder=holder,
        runs=runs,
    )
    if json:
        print_json(_json(known))
    else:
        _print(known)
    is_gap = day in assessment.gaps[phase] or day in assessment.orphans.get(phase, ())
    raise typer.Exit(Exit.GAPS if is_gap else Exit.DONE)


def _phase(pipeline: Pipeline, name: str) -> Phase:
    if name not in pipeline.by_name:
        hint = nearest(name, pipeline.by_name, what="phases")
        raise UsageError(f"There is no phase {name!r} in {pipeline.name}; {hint}")
    return pipeline.by_name[name]


def _in_ledger(context: Context, phase: str, day: date) -> tuple[str | None, list[Tried] | None]:
    """The run that holds the date, and the latest that had it to do; None without a ledger."""
    from worker.status.runs_of_date import tried

    ledger = ledger_if_any(context)
    if ledger is None:
        return None, None
    held = ledger.held(context.pipeline.name, context.warehouse.identity)
    holder = held.get((phase, day))
    return holder, tried(context, phase, day, at_most=RUNS_SHOWN)


def _json(known: Known) -> dict[str, Any]:
    """The documented shape of `planner explain --json`."""
    return {
        **asdict(known.found),
        "cascades": known.cascades,
        "rests_on": [_brief(each) for each in known.rests_on],
        "rest_on_it": [_brief(each) for each in known.rest_on_it],
        "held_by": known.holder,
        "runs": [
            {
                "run_id": each.run.id,
                "state": str(each.state),
                "step": each.step and each.step.id,
                "attempts": each.step.attempt if each.step else 0,
                "worker": each.step.worker if each.step else "",
                "problem": each.problem,
                "log": each.log and str(each.log),
            }
            for each in known.runs or ()
        ],
    }


def _brief(each: Standing) -> dict[str, Any]:
    return {"phase": each.phase, "date": each.date, "state": each.state}


def _print(known: Known) -> None:
    phase, found, holder = known.phase, known.found, known.holder
    told = f": {found.detail}" if found.detail else ""
    if known.cascades:
        told = " by count, and rests on gaps: their repair recomputes it (cascade)"
    _line(f"{phase.name} {found.date} is {found.state}{told}")
    if found.expected:
        due = ", ".join(counted(n, entity) for entity, n in found.expected.items())
        _line(f"it ought to hold {due}, in {', '.join(spec.name for spec in phase.tables)}")
    _line("rests on:" if known.rests_on else "rests on nothing: it is a source")
    _print_groups(known.rests_on)
    _line("rest on it:" if known.rest_on_it else "nothing rests on it")
    _print_groups(known.rest_on_it)
    if holder:
        _line(f"held by {holder}: `planner status {holder}` shows how far it is")
    for each in known.runs or ():
        _print_tried(each)
    if known.runs == []:
        _line("no run that the ledger remembers had it to do")
    _advise(known)


def _print_groups(standings: list[Standing]) -> None:
    for phase, states in by_state(standings).items():
        told = [f"{state} {date_runs(days, shown=RANGES_SHOWN)}" for state, days in states.items()]
        _line(f"  {phase}: {'; '.join(told)}")


def _print_tried(each: Tried) -> None:
    step = each.step
    attempts = f", {counted(step.attempt, 'attempt')}, last on {step.worker}" if step else ""
    why = f": {each.problem}" if each.problem else ""
    _line(f"{each.run.id} ({each.run.state}): {each.state}{attempts}{why}")
    if each.log:
        _line(f"  log: {each.log}")


def _advise(known: Known) -> None:
    """What to do next, where there is something."""
    phase, found = known.phase, known.found
    if known.holder:
        return
    short = [each for each in known.rests_on if each.state in SHORT]
    if found.state in SHORT and phase.is_watched:
        note(f"No phase writes {phase.name}: mend its rows where they come from.")
    elif found.state in SHORT:
        days = [found.date, *(each.date for each in short)]
        first = f", with {short[0].phase} {short[0].date} first" if short else ""
        note(f"Repair it{first}: planner enqueue --gaps --start {min(days)} --end {max(days)}")
    elif found.state in FLAWS:
        span = f"--start {found.date} --end {found.date}"
        note(f"Write it anew with: planner enqueue --gaps {span} --reasons {found.state}")


def _line(text: str) -> None:
    out.print(text, markup=False, soft_wrap=True)
