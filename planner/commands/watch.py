"""`planner watch`: a live view of a run on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from planner.console import options as opt
from planner.console.context import open_context, required_ledger
from planner.console.output import err, out, print_json
from planner.console.restores import follow_restore, restore_exit, show_status
from planner.console.run_ending import print_ending
from planner.console.run_status import run_exit
from planner.console.strips import strip_lines
from planner.pipeline.windows import Window
from planner.plan.states import DateState, StepState
from planner.report.strip import FAILED, RUNNING, WHOLE, Mark, Pair
from planner.text import duration
from worker.status.waits import retrying, waits

if TYPE_CHECKING:
    from worker.context import Context
    from worker.ledger.record import RunRecord, StepRecord
    from worker.status.forecast import Forecast

    Show = Callable[[RunRecord, Sequence[StepRecord], Forecast, Sequence[str]], None]

LOOK_SECONDS = 0.5  # between two looks at the ledger
LINE_SECONDS = 5.0  # between two plain lines, unless something failed
ENDED = ("succeeded", "failed", "blocked", "cancelled")
DATE_MARKS: dict[DateState, Mark | None] = {
    DateState.PENDING: None,
    DateState.DONE: WHOLE,
    DateState.FAILED: FAILED,
    DateState.BLOCKED: FAILED,
    DateState.CANCELLED: FAILED,
}
"""How a date of a run is drawn; None: as it was found."""


def watch(run: opt.RunId, json: opt.Json = False) -> None:
    """Watch a run, or a restore, until it ends. Ctrl-C stops watching, not the run."""
    context = open_context()
    if required_ledger(context).restore(run) is not None:
        restore = follow_restore(context, run)
        show_status(restore, json=json)
        raise typer.Exit(restore_exit(restore))
    context = context.serving(context.ledger.require(run))
    record = follow(context, run, quiet=json)
    if json:
        from worker.status.status import status_json

        print_json(status_json(context, record))
    else:
        print_ending(context, record)
    raise typer.Exit(run_exit(record))


def follow(context: Context, run_id: str, *, quiet: bool = False) -> RunRecord:
    """Show a run until it has ended; the record of its end. With `quiet`, show nothing."""
    from worker.ledger.followed import Followed
    from worker.reconciler import reconcile_in_turn
    from worker.status.forecast import forecast
    from worker.status.no_progress import held_up_by

    pause = context.settings.reconcile_seconds / 2
    next_reconciliation = time.monotonic() + pause
    next_forecast = 0.0
    followed = Followed(context.ledger, run_id)
    with _view(context, quiet=quiet) as show:
        while True:
            record = context.ledger.require(run_id)
            steps = followed.look()
            if time.monotonic() >= next_forecast or record.is_ended:
                next_forecast = time.monotonic() + LINE_SECONDS
                ahead = forecast(context, record, steps)
                held_up = held_up_by(context, record, steps)
            show(record, steps, ahead, held_up)
            if record.is_ended:
                return record
            if time.monotonic() >= next_reconciliation:
                next_reconciliation = time.monotonic() + pause
                reconcile_in_turn(context)
            time.sleep(LOOK_SECONDS)


@contextmanager
def _view(context: Context, *, quiet: bool) -> Iterator[Show]:
    """How a run is shown: not at all, live on a terminal, or line by line."""
    if quiet:
        yield lambda record, steps, ahead, held_up: None
    elif not out.is_terminal:
        yield _Lines().show
    else:
        phases = [phase.name for phase in context.pipeline.phases if not phase.is_watched]
        with Live(console=out, refresh_per_second=4, transient=False) as live:

            def show(
                record: RunRecord,
                steps: Sequence[StepRecord],
                ahead: Forecast,
                held_up: Sequence[str],
            ) -> None:
                moving = _strips(context, record, steps)
                live.update(Group(_screen(phases, record, steps, ahead, held_up), *moving))

            yield show


def _strips(context: Context, record: RunRecord, steps: Sequence[StepRecord]) -> Iterator[Text]:
    """The calendar of the run, as it is by now."""
    plan = context.plan(record.id)
    if plan is None:
        return iter(())
    marks = {pair: DATE_MARKS[at] for pair, at in context.ledger.all_dates(record.id).items()}
    planned = dict(plan.steps())
    over: dict[Pair, Mark] = {pair: mark for pair, mark in marks.items() if mark is not None}
    for step in steps:
        if step.state is StepState.RUNNING and step.id in planned:
            at = planned[step.id]
            over |= {(at.phase, d): RUNNING for d in at.dates if marks.get((at.phase, d)) is None}
    reach = Window(start=plan.reach.start, end=plan.reach.end)
    return strip_lines(context.pipeline, plan.days_before, reach, over=over)


class _Lines:
    """One line every few seconds, and whenever a step failed."""

    def __init__(self) -> None:
        self._next = 0.0
        self._failed = 0
        """Steps and attempts that failed so far."""
        self._has_warned = False

    def show(
        self,
        record: RunRecord,
        steps: Sequence[StepRecord],
        ahead: Forecast,
        held_up: Sequence[str] = (),
    ) -> None:
        """Print a line, where it is time for one."""
        warning = drift_warning(record, ahead)
        if warning and not self._has_warned:
            self._has_warned = True
            err.print(warning, style="yellow", soft_wrap=True, markup=False)
        failed = sum((step.state is StepState.FAILED) + step.failures for step in steps)
        if time.monotonic() >= self._next or failed > self._failed or record.is_ended:
            self._next = time.monotonic() + LINE_SECONDS
            self._failed = failed
            err.print(_line(record, steps, ahead, held_up), soft_wrap=True, markup=False)


def _line(
    record: RunRecord, steps: Sequence[StepRecord], ahead: Forecast, held_up: Sequence[str]
) -> str:
    tally = Counter(str(step.state) for step in steps)
    parts = ", ".join(f"{n} {state}" for state, n in sorted(tally.items()))
    now = time.time()
    waiting = "".join(f"; it stands still: {why}" for why in held_up)
    waiting += "".join(f"; {wait.line(now)}" for wait in waits(record, steps))
    waiting += "".join(f"; {each.line(now)}" for each in retrying(record, steps))
    done = f"{tally['succeeded']}/{len(steps)} steps"
    return (
        f"{record.id} {record.state}: {done} ({parts}){waiting}; "
        f"{record.note and record.note + '; '}{_left(record, steps, ahead)}"
    )


def _screen(
    phases: Sequence[str],
    record: RunRecord,
    steps: Sequence[StepRecord],
    ahead: Forecast,
    held_up: Sequence[str],
) -> RenderableType:
    """Phases × steps, workers, and when the run may end."""
    now = [step for step in steps if step.state is StepState.RUNNING and not step.parked]
    workers = [f"  {escape(step.worker)}: {escape(step.id)}" for step in now]
    failed = [
        f"[red]  {escape(step.id)}: {escape(step.error)}[/]"
        for step in steps
        if step.state is StepState.FAILED
    ]
    moment = time.time()
    waiting = [f"[yellow]  it stands still: {escape(why)}[/]" for why in held_up]
    waiting += [f"  {escape(wait.line(moment))}" for wait in waits(record, steps)]
    waiting += [f"[yellow]  {escape(e.line(moment))}[/]" for e in retrying(record, steps)[:3]]
    if record.note:
        waiting.append(f"  {escape(record.note)}")
    warning = drift_warning(record, ahead)
    warnings = [f"[yellow]{escape(warning)}[/]"] if warning else []
    left = _left(record, steps, ahead)
    table = _phase_table(phases, record, steps)
    return Group(table, *workers, *waiting, *failed[-3:], *warnings, left)


def _phase_table(phases: Sequence[str], record: RunRecord, steps: Sequence[StepRecord]) -> Table:
    table = Table(title=f"{record.id}: {record.state}", title_justify="left")
    for column in ("phase", "", "done", "running", "failed", "blocked"):
        table.add_column(column, justify="left" if column in ("phase", "") else "right")
    for phase in phases:
        of_phase = [step for step in steps if step.id.endswith(f"/{phase}")]
        if not of_phase:
            continue
        tally = Counter(str(step.state) for step in of_phase)
        done = tally["succeeded"]
        table.add_row(
            escape(phase),
            ProgressBar(total=len(of_phase), completed=done, width=30),
            f"{done}/{len(of_phase)}",
            str(tally["running"] or ""),
            f"[red]{tally['failed'] or ''}[/]",
            f"[yellow]{tally['blocked'] or ''}[/]",
        )
    return table


def drift_warning(record: RunRecord, ahead: Forecast) -> str:
    """A warning that a run takes far longer than was planned; empty while it does not."""
    if record.is_ended or not ahead.drifts or ahead.left is None:
        return ""
    return (
        f"{record.id} drifts: about {duration(ahead.spent + ahead.left)} in all, and its plan "
        f"foresaw {duration(ahead.planned or 0)}. `planner status {record.id}` says what its "
        "steps wait for."
    )


def _left(record: RunRecord, steps: Sequence[StepRecord], ahead: Forecast) -> str:
    """How long it took, or may still take: by its estimate, else at the pace so far."""
    if record.is_ended:
        return f"took {duration((record.ended or record.created) - record.created)}"
    if record.started and ahead.left is not None:
        return f"about {duration(ahead.left)} left"
    ended = sum(step.state in ENDED for step in steps)
    spent = max(0.0, time.time() - (record.started or time.time()))
    if not ended or not spent:
        return "waiting for a worker" if not record.started else "just started"
    return f"about {duration(spent / ended * (len(steps) - ended))} left"
