"""`planner pause`, `resume`, `cancel` and `retry`: control of a run."""

from __future__ import annotations

from typing import Annotated

import typer

from planner.commands.watch import follow
from planner.console import options as opt
from planner.console.context import open_run, say_who_lacks_what
from planner.console.option_groups import grouped
from planner.console.output import out, print_json
from planner.console.run_ending import print_ending
from planner.console.run_status import run_exit
from planner.console.sharing import Sharing
from planner.console.this_command import noted
from planner.text import counted


def pause(run: opt.RunId, as_: opt.As = None, json: opt.Json = False) -> None:
    """Start no more steps of a run; those that run go on to their end."""
    from worker.run.control import pause as do

    context, _ = open_run(run)
    with noted(context, run, as_):
        do(context, run)
    _say(json, run, "paused", f"go on with `planner resume {run}`")


@grouped
def resume(
    *,
    run: opt.RunId,
    force_service: opt.ForceService = False,
    as_: opt.As = None,
    max_dollars: opt.MaxDollars = None,
    sharing: Sharing,
    json: opt.Json = False,
) -> None:
    """Go on with a paused run, or with one that was only half sent.

    With an option that says how it shares the fleet, a run that goes on is told so, too.
    """
    from worker.reconciler import reconcile
    from worker.run.control import resume as do

    context, record = open_run(run)
    changes = sharing.changes(context.pipeline.timezone)
    say_who_lacks_what(context, record)
    with noted(context, run, as_):
        do(
            context,
            run,
            force_service=force_service,
            max_dollars=max_dollars,
            changes=changes,
        )
    reconcile(context)
    _say(json, run, "running", f"watch it with `planner watch {run}`")


def cancel(run: opt.RunId, as_: opt.As = None, json: opt.Json = False) -> None:
    """Stop a run: end what runs, start nothing, and report what is there."""
    from worker.run.control import cancel as do

    context, _ = open_run(run)
    with noted(context, run, as_):
        state = do(context, run)
    _say(json, run, str(state), f"see what it did with `planner watch {run}`")


def retry(
    run: opt.RunId,
    phase: Annotated[
        str | None, typer.Option("--phase", metavar="A", help="This phase and all after it.")
    ] = None,
    dates: opt.Dates = None,
    force_service: opt.ForceService = False,
    deadline: opt.Deadline = None,
    as_: opt.As = None,
    wait: Annotated[bool, typer.Option("--wait", help="Watch the run until it ends.")] = False,
    json: opt.Json = False,
) -> None:
    """Try the failed, blocked and cancelled dates of an ended run again."""
    from worker.ledger.orders import Orders
    from worker.run.control import retry as do

    context, record = open_run(run)
    say_who_lacks_what(context, record)
    orders = Orders(force_service=force_service, deadline_seconds=deadline)
    with noted(context, run, as_):
        steps = do(context, run, phase=phase, dates=dates, orders=orders)
    if not wait:
        what = counted(steps, "step") if steps else "its final count"
        _say(json, run, "running", f"{what}; watch it with `planner watch {run}`")
        return
    record = follow(context, run, quiet=json)
    if json:
        from worker.status.status import status_json

        print_json(status_json(context, record))
    else:
        print_ending(context, record)
    raise typer.Exit(run_exit(record))


def _say(json: bool, run: str, state: str, what_next: str) -> None:
    if json:
        print_json({"run_id": run, "state": state})
    else:
        out.print(f"{run} is {state}: {what_next}.", markup=False, soft_wrap=True)
