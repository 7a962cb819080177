"""`planner enqueue`: send the repair of the gaps to the workers, as a run."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from planner.commands.plan import print_plan, print_skipped
from planner.commands.watch import follow
from planner.console import options as opt
from planner.console.context import (
    open_context,
    read_assessment,
    read_changes,
    required_ledger,
    say_who_lacks_what,
)
from planner.console.option_groups import Planning, grouped
from planner.console.output import err, note, out, print_json
from planner.console.run_ending import print_ending
from planner.console.run_status import run_exit
from planner.console.sharing import Sharing
from planner.console.this_command import this_command
from planner.errors import BadPlan, Exit, UsageError
from planner.gaps.gaps import ANEW, RECOMPUTE
from planner.plan.command import Command
from planner.plan.cost import check_dollars
from planner.plan.parse import read_plan
from planner.plan.plan import Plan
from planner.text import counted

if TYPE_CHECKING:
    from worker.context import Context
    from worker.ledger.ledger import Ledger


DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan, and send nothing.")]


@grouped
def enqueue(
    *,
    gaps: opt.GapsFlag = False,
    plan: Annotated[
        Path | None,
        typer.Option("--plan", metavar="FILE", help="A plan of `planner plan --out FILE`."),
    ] = None,
    options: Planning,
    force_service: opt.ForceService = False,
    dry_run: DryRun = False,
    deadline: opt.Deadline = None,
    no_keep: opt.NoKeep = False,
    max_dollars: opt.MaxDollars = None,
    sharing: Sharing,
    wait: Annotated[bool, typer.Option("--wait", help="Watch the run until it ends.")] = False,
    as_: opt.As = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: opt.Json = False,
) -> None:
    """Find the gaps, and send their repair to the workers; or dates that are complete (--redo).

    Exit code 0 when sent (or, with --wait, repaired), or when there is nothing to do; 1 when gaps
    remain that cannot be repaired now, or that --reasons would take.
    """
    from worker.ledger.orders import Orders
    from worker.run.enqueue import enqueue as send
    from worker.run.keep import with_keeping

    if plan is None and not (gaps or options.writes_anew):
        raise UsageError("Say what to enqueue: --gaps, --redo, --changed, or --plan FILE.")
    filed = None if plan is None else _read(plan, options, gaps=gaps)
    context = _open(no_keep=no_keep)
    asked = this_command(as_)
    orders = Orders(force_service=force_service, deadline_seconds=deadline, asked=asked)
    orders = sharing.orders(replace(orders, max_dollars=max_dollars), context.pipeline.timezone)
    source = _source(context, options, filed, gaps=gaps, dry_run=dry_run, asked=asked)
    if dry_run and json:
        print_json(source.plan.as_json())
    elif not json:
        print_plan(source.plan, context.pipeline)
    if dry_run:
        raise typer.Exit(source.left if source.plan.is_empty else Exit.DONE)
    if source.plan.is_empty:
        _end_without_run(source.plan, json=json, code=source.left)
    source.require_now()
    say_who_lacks_what(context, source.plan)
    _confirm(source.plan, yes=yes, json=json)
    check_dollars(source.plan.cost, max_dollars)
    orders = with_keeping(orders, context.settings)
    with err.status("Sending …"):
        run_id, sent = send(context, source.plan, source.replan, orders)
    if run_id is None:
        _end_since_others_took_it(sent, json=json)
    if not json:
        _say_sent(run_id)
    if json and not wait:
        print_json({"run_id": run_id, **sent.as_json()})
    if wait:
        _wait(context, run_id, sent, json=json)


def _open(*, no_keep: bool) -> Context:
    """The context; --no-keep stands in the place of the setting, so that the price knows of it."""
    context = open_context()
    if no_keep:
        context.settings = context.settings.model_copy(update={"keep": False})
    return context


def _say_sent(run_id: str) -> None:
    """Soft: a command to copy stays on one line."""
    told = f"Run [bold]{run_id}[/] is on its way: watch it with `planner watch {run_id}`."
    out.print(told, soft_wrap=True)


def _end_since_others_took_it(sent: Plan, *, json: bool) -> NoReturn:
    if not json:
        out.print("Nothing to do: other runs took every date meanwhile.")
        print_skipped(sent)
    _end_without_run(sent, json=json, code=_left(sent))


def _source(
    context: Context,
    options: Planning,
    filed: Plan | None,
    *,
    gaps: bool,
    dry_run: bool,
    asked: Command,
) -> _FromGaps | _FromFile:
    ledger = None if dry_run else required_ledger(context)
    if filed is None:
        return _FromGaps(context, options, ledger, gaps=gaps, asked=asked)
    return _FromFile(context, options, filed)


class _FromGaps:
    """A plan that is made from what the warehouse holds now."""

    def __init__(
        self,
        context: Context,
        options: Planning,
        ledger: Ledger | None,
        *,
        gaps: bool,
        asked: Command,
    ) -> None:
        self._context = context
        self._ledger = ledger
        self._wanted = options.wanted(context.pipeline, gaps=gaps, asked=asked)
        self._assessment, self._cost = read_assessment(
            context,
            self._wanted.scope,
            plan_id=self._wanted.plan_id,
            **options.counting,
        )
        self._changes = read_changes(context, self._assessment, self._wanted)
        self.plan = self.replan()

    @property
    def left(self) -> Exit:
        """Of a plan without steps: of dates that are unknown nothing says that they are right."""
        return Exit.GAPS if self._changes.unknown else _left(self.plan)

    def require_now(self) -> None:
        """Nothing to check: it was counted a moment ago."""

    def replan(self) -> Plan:
        """The plan without the dates that other runs have taken meanwhile."""
        from worker.run.plan import plan_repair

        return plan_repair(
            self._context,
            self._assessment,
            self._wanted,
            ledger=self._ledger,
            cost=self._cost,
            changes=self._changes,
        )


class _FromFile:
    """A plan that was made before. Raises `BadPlan` if it is not for this pipeline or warehouse."""

    def __init__(self, context: Context, options: Planning, plan: Plan) -> None:
        from worker.run.enqueue import require_here

        self._context = context
        self._max_bytes = options.max_bytes
        self.plan = plan
        require_here(context, plan)

    @property
    def left(self) -> Exit:
        """Of a plan without steps."""
        return _left(self.plan)

    def require_now(self) -> None:
        """Count again. Raises `BadPlan` if the warehouse is not as the plan found it."""
        from worker.run.enqueue import require_now

        assessment, _ = read_assessment(
            self._context,
            self.plan.scope,
            plan_id=self.plan.plan_id,
            max_bytes=self._max_bytes,
            included=self.plan.dates,
        )
        require_now(self._context, self.plan, assessment)

    def replan(self) -> Plan:
        """Raises `BadPlan`: what the file says cannot be done any more."""
        raise BadPlan(f"Another run has just taken dates of {self.plan.plan_id}: make a new plan.")


def _read(path: Path, options: Planning, *, gaps: bool) -> Plan:
    """The plan of a file. Raises `UsageError` when options ask for another one."""
    words = [*(["--gaps"] if gaps else []), *options.shaping]
    if words:
        raise UsageError(
            f"A plan file says by itself what to do, so {', '.join(words)} cannot be given beside "
            f"it. Make a plan that does: planner plan {' '.join(words)} … --out FILE."
        )
    return read_plan(path)


def _end_without_run(plan: Plan, *, json: bool, code: Exit) -> NoReturn:
    if json:
        print_json({"run_id": None, **plan.as_json()})
    raise typer.Exit(code)


def _left(plan: Plan) -> Exit:
    """Of a plan without steps: 0 when nothing is wrong but what other runs are at."""
    return Exit.GAPS if plan.leaves_gaps else Exit.DONE


def _wait(context: Context, run_id: str, plan: Plan, *, json: bool) -> NoReturn:
    """Watch the run to its end, which is the exit code."""
    record = follow(context, run_id, quiet=json)
    if json:
        from worker.status.status import status_json

        print_json({"run_id": run_id, **plan.as_json(), "status": status_json(context, record)})
    else:
        print_ending(context, record)
        if record.keep and any(t.reason in RECOMPUTE for _, s in plan.steps() for t in s.tasks):
            note(
                f"How rows differ from before: `planner diff {run_id}`. To put those back: "
                f"`planner restore {run_id}`."
            )
    raise typer.Exit(run_exit(record))


def _confirm(plan: Plan, *, yes: bool, json: bool) -> None:
    """Ask, where a person is at a terminal to answer.

    Raises `UsageError` when the plan writes complete dates anew and no terminal can ask.
    """
    anew = Counter(task.reason for _, step in plan.steps() for task in step.tasks)
    what = ""
    if any(anew[reason] for reason in ANEW):
        complete = sum(anew[reason] for reason in RECOMPUTE)
        what = f"{counted(complete, 'phase-date')} that hold all their rows are written anew. "
    if yes:
        return
    if json or not sys.stdin.isatty():
        if what:
            raise UsageError(f"{what}No terminal is here to ask you: add --yes.")
        return
    if not typer.confirm(f"{what}Run {counted(plan.steps_total, 'step')}?", default=not what):
        note("Nothing was enqueued.")
        raise typer.Exit(Exit.DONE)
