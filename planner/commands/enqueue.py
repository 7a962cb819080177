"""`planner enqueue`: publish the repair of the gaps as a run."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from planner.commands import options as opt
from planner.commands.context import open_context, read_assessment, required_ledger
from planner.commands.gaps import print_plan, print_skipped
from planner.commands.output import err, note, out, print_json
from planner.commands.watch import follow, run_exit
from planner.errors import BadPlan, Exit, UsageError
from planner.pipeline.calendar import Calendar
from planner.plan.plan import Plan, read_plan


def enqueue(
    gaps: opt.GapsFlag = False,
    plan: Annotated[
        Path | None,
        typer.Option("--plan", metavar="FILE", help="A plan of `planner plan --out FILE`."),
    ] = None,
    start: opt.Start = None,
    end: opt.End = None,
    season: opt.SeasonOption = None,
    phases: opt.Phases = None,
    from_phase: opt.FromPhase = None,
    chunk_dates: opt.ChunkDates = None,
    newest_first: opt.NewestFirst = False,
    limit: opt.Limit = None,
    no_cascade: opt.NoCascade = False,
    force_service: opt.ForceService = False,
    stale: opt.Stale = False,
    max_bytes: opt.MaxBytes = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan, publish nothing.")
    ] = False,
    deadline: opt.Deadline = None,
    wait: Annotated[bool, typer.Option("--wait", help="Watch the run until it ends.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    reason: opt.ReasonText = "",
    json: opt.Json = False,
) -> None:
    """Find the gaps, and publish their repair to the workers.

    Exit code 0 when published (or, with --wait, repaired), or when there is nothing to do.
    """
    from worker.ledger.orders import Orders
    from worker.run.enqueue import enqueue as send
    from worker.run.enqueue import require_here, require_now
    from worker.run.plan import Wanted, plan_repair

    if gaps == (plan is not None):
        raise UsageError("Say what to enqueue: --gaps, or --plan FILE.")
    made_before = read_plan(plan) if plan is not None else None
    planning = (start, end, season, phases, from_phase, chunk_dates, newest_first, limit, reason)
    if made_before is not None and any((*planning, no_cascade, stale)):
        raise UsageError("A plan file says what to do: give its options to `planner plan`.")
    context = open_context()
    ledger = None if dry_run else required_ledger(context)
    if made_before is not None:
        made = made_before
        require_here(context, made)
    else:
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
        assessment, cost = read_assessment(
            context, scope, plan_id=wanted.plan_id, stale=stale, max_bytes=max_bytes
        )
        made = plan_repair(context, assessment, wanted, ledger=ledger, cost=cost)
    if dry_run:
        if json:
            print_json(made.as_json())
        else:
            print_plan(made, context.pipeline)
        return
    if not json:
        print_plan(made, context.pipeline)
    if made.is_empty:
        if json:
            print_json({"run_id": None, **made.as_json()})
        raise typer.Exit(Exit.DONE)
    if plan is not None:
        assessment, _ = read_assessment(
            context, made.scope, plan_id=made.plan_id, max_bytes=max_bytes
        )
        require_now(context, made, assessment)
    _confirm(made.steps_total, ask=not (yes or json))

    def replan() -> Plan:
        if plan is not None:
            raise BadPlan(f"Another run has just taken dates of {made.plan_id}: make a new plan.")
        return plan_repair(context, assessment, wanted, ledger=ledger, cost=cost)

    orders = Orders(force_service=force_service, deadline_seconds=deadline)
    with err.status("Publishing …"):
        run_id, made = send(context, made, replan, orders)
    if run_id is None:
        if json:
            print_json({"run_id": None, **made.as_json()})
        else:
            out.print("Nothing to do: other runs took every date meanwhile.")
            print_skipped(made)
        raise typer.Exit(Exit.DONE)
    if not json:
        out.print(f"Run [bold]{run_id}[/] is on its way: watch it with `planner watch {run_id}`.")
    if not wait:
        if json:
            print_json({"run_id": run_id, **made.as_json()})
        return
    record = follow(context, run_id, quiet=json)
    if json:
        from planner.commands.runs import status_json

        print_json({"run_id": run_id, **made.as_json(), "status": status_json(context, record)})
    raise typer.Exit(run_exit(record))


def _confirm(steps: int, *, ask: bool) -> None:
    """Ask a person at a terminal; nobody else."""
    if ask and sys.stdin.isatty() and not typer.confirm(f"Run these {steps} steps?", default=True):
        note("Nothing was enqueued.")
        raise typer.Exit(Exit.DONE)
