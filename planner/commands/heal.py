"""`planner heal`: young gaps are repaired by themselves, within limits."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Annotated, Any

import typer

from planner import clock
from planner.commands.up import stop_on_sigterm
from planner.console import options as opt
from planner.console.context import open_context, read_assessment, required_ledger
from planner.console.output import note, out, print_json
from planner.console.this_command import this_command
from planner.errors import Exit, FleetError
from planner.pipeline.calendar import Calendar
from planner.plan.plan import new_id
from planner.text import date_runs
from sql import WarehouseError

if TYPE_CHECKING:
    from worker.context import Context
    from worker.run.heal import Healed, Limits

Days = Annotated[
    int, typer.Option("--days", min=1, max=3660, help="Only gaps of the last so many days.")
]
DatesADay = Annotated[
    int, typer.Option("--dates-a-day", min=1, help="Dates that a day's runs may take, at most.")
]
Attempts = Annotated[
    int,
    typer.Option("--attempts", min=1, max=100, help="Runs that may fail to repair a date."),
]
DollarsADay = Annotated[
    float | None,
    typer.Option(
        "--dollars-a-day",
        parser=opt.parse_dollars,
        metavar="DOLLARS",
        help="What a day's runs may be billed; the run that comes to it is paused.",
    ),
]
Often = Annotated[
    int | None,
    typer.Option(
        "--every",
        parser=opt.parse_duration,
        metavar="TIME",
        help="Look so often, such as 1h, until it is stopped; else once.",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]
Release = Annotated[
    bool, typer.Option("--release", help="Let healing take the dates again that it gave up.")
]


def heal(
    days: Days = 30,
    dates_a_day: DatesADay = 100,
    attempts: Attempts = 3,
    dollars_a_day: DollarsADay = None,
    every: Often = None,
    dry_run: DryRun = False,
    release: Release = False,
    max_bytes: opt.MaxBytes = None,
    json: opt.Json = False,
) -> None:
    """Enqueue the gaps of the last days by itself, within limits; report the others.

    A date that several of its runs could not repair is quarantined, which is notified once. Only
    missing and partial dates are taken, with what is computed from them; never what is repaired
    only when asked for. With --every it repeats; of several for one pipeline, one counts at a time.

    Exit code 0 when nothing short is left to others, 1 when something is.
    """
    from worker.run.heal import Limits

    context = open_context()
    required_ledger(context)
    if release:
        _release(context)
        return
    limits = Limits(
        days=days, dates_a_day=dates_a_day, attempts=attempts, dollars_a_day=dollars_a_day
    )
    if every is None:
        found = _look(context, limits, max_bytes, dry_run=dry_run)
        _tell(found, json=json)
        raise typer.Exit(Exit.GAPS if found is not None and found.leaves_gaps else Exit.DONE)
    stop_on_sigterm()
    try:
        while True:
            _look_again(context, limits, max_bytes, dry_run=dry_run, json=json)
            threading.Event().wait(every)
    except KeyboardInterrupt:
        note("Stopped; the runs that it enqueued are not.")


def _look_again(
    context: Context, limits: Limits, max_bytes: int | None, *, dry_run: bool, json: bool
) -> None:
    """One pass; an unreachable warehouse or broker is reported, and does not end the loop."""
    try:
        _tell(_look(context, limits, max_bytes, dry_run=dry_run), json=json)
    except (FleetError, WarehouseError) as error:
        note(f"Nothing could be judged now: {error}")


def _look(
    context: Context, limits: Limits, max_bytes: int | None, *, dry_run: bool
) -> Healed | None:
    """One pass, unless another process is in one."""
    from worker.ledger.lease import Lease, Resource
    from worker.run.heal import heal as heal_once

    pipeline, today = context.pipeline, opt.today(context.pipeline)
    resource = Resource(name=f"heal:{context.realm}")
    lease = Lease(context.redis, [resource], seconds=context.settings.lease_seconds)
    if not lease.acquire():
        return None
    try:
        with lease.kept_alive():
            scope = Calendar(pipeline=pipeline).scope(
                today=today, start=None, end=None, season=None
            )
            plan_id = new_id("plan", clock.now())
            assessment, _ = read_assessment(context, scope, plan_id=plan_id, max_bytes=max_bytes)
            return heal_once(
                context,
                assessment,
                today,
                limits,
                asked=this_command("schedule"),
                dry_run=dry_run,
            )
    finally:
        lease.release()


def _release(context: Context) -> None:
    from worker.ledger.healing import Healing

    healing = Healing(context.redis, context.realm)
    attempts = healing.attempts()
    healing.forget(list(attempts))
    out.print(f"Released: {len(attempts)} phase-dates that healing had tried.")


def _tell(found: Healed | None, *, json: bool) -> None:
    if json:
        print_json(_json(found))
        return
    when = f"{clock.now():%Y-%m-%d %H:%M:%S} UTC"
    if found is None:
        note(f"{when} Another process heals this pipeline: nothing done.")
        return
    if found.run_id:
        dates = date_runs(found.plan.dates, shown=6)
        out.print(f"{when} {found.run_id} repairs {dates}", markup=False, soft_wrap=True)
    elif found.plan.is_empty:
        out.print(f"{when} Nothing to do.", markup=False)
    else:
        dates = date_runs(found.plan.dates, shown=6)
        out.print(f"{when} would repair {dates}", markup=False, soft_wrap=True)
    for phase, day in found.quarantined:
        note(f"given up: {phase} {day} (planner explain {phase} {day})")
    if found.older:
        days = date_runs({day for _, day in found.older}, shown=6)
        note(f"older than --days, and left: {days}")
    for source, late in found.late.items():
        note(f"late: {source} {date_runs(late, shown=6)}")
    if found.is_spent:
        note(
            "The day's dates or dollars are used up (--dates-a-day, --dollars-a-day): the others "
            "wait for tomorrow."
        )


def _json(found: Healed | None) -> dict[str, Any]:
    """The documented shape of `planner heal --json`."""
    if found is None:
        return {"looked": False}
    pairs = {
        name: [{"phase": phase, "date": day} for phase, day in dates]
        for name, dates in (
            ("given_up", found.quarantined),
            ("older", found.older),
            ("late", [(phase, day) for phase, days in found.late.items() for day in days]),
        )
    }
    return {
        "looked": True,
        "run_id": found.run_id,
        "dates": sorted(found.plan.dates),
        **pairs,
        "spent": found.is_spent,
    }
