"""`planner watch`: a live view of a run on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table

from planner.commands import options as opt
from planner.commands.context import open_context, required_ledger
from planner.commands.output import err, out
from planner.errors import Exit
from planner.text import duration

if TYPE_CHECKING:
    from worker.ledger.record import RunRecord, StepRecord
    from worker.run.forecast import Forecast
    from worker.step.context import Context

LOOK_SECONDS = 0.5  # between two looks at the ledger
LINE_SECONDS = 5.0  # between two plain lines, unless something failed
ENDED = ("succeeded", "failed", "blocked", "cancelled")


def watch(run: opt.RunId, json: opt.Json = False) -> None:
    """Watch a run until it ends. Ctrl-C stops watching, not the run."""
    from planner.commands.output import print_json
    from planner.commands.runs import status_json

    context = open_context()
    required_ledger(context).require(run)
    record = follow(context, run, quiet=json)
    if json:
        print_json(status_json(context, record))
    raise typer.Exit(run_exit(record))


def run_exit(record: RunRecord) -> Exit:
    """What a run's end means to the shell."""
    if record.state == "complete":
        remaining = (record.validation or {}).get("remaining", 0)
        unpublished = (record.publication or {}).get("failed")
        return Exit.GAPS if remaining or unpublished else Exit.DONE
    return Exit.FAILED


def follow(context: Context, run_id: str, *, quiet: bool = False) -> RunRecord:
    """Show a run until it has ended; the record of its end. With `quiet`, show nothing."""
    from worker.reconciler import reconcile
    from worker.run.forecast import outlook

    pause = context.settings.reconcile_seconds / 2
    next_reconciliation = time.monotonic() + pause
    view = _Plain() if quiet or not out.is_terminal else _Screen(context, run_id)
    next_outlook = 0.0
    with view:
        while True:
            record = context.ledger.require(run_id)
            steps = context.ledger.step_records(run_id, context.ledger.steps(run_id))
            if time.monotonic() >= next_outlook or record.is_ended:
                next_outlook = time.monotonic() + LINE_SECONDS
                view.ahead = outlook(context, record, steps)
            view.show(record, steps, quiet=quiet)
            if record.is_ended:
                return record
            if time.monotonic() >= next_reconciliation:
                next_reconciliation = time.monotonic() + pause
                reconcile(context)
            time.sleep(LOOK_SECONDS)


class _Plain:
    """One line now and then."""

    ahead: Forecast | None = None

    def __init__(self) -> None:
        self._next = 0.0
        self._failed = 0
        self._has_warned = False

    def __enter__(self) -> _Plain:
        return self

    def __exit__(self, *ignored: object) -> None:
        return None

    def show(self, record: RunRecord, steps: list[StepRecord], *, quiet: bool) -> None:
        if quiet:
            return
        warning = drift_warning(record, self.ahead)
        if warning and not self._has_warned:
            self._has_warned = True
            err.print(warning, style="yellow", soft_wrap=True, markup=False)
        failed = [step for step in steps if step.state == "failed"]
        if time.monotonic() >= self._next or len(failed) > self._failed or record.is_ended:
            self._next = time.monotonic() + LINE_SECONDS
            self._failed = len(failed)
            tally = Counter(str(step.state) for step in steps)
            done = sum(tally[state] for state in ENDED)
            parts = ", ".join(f"{n} {state}" for state, n in sorted(tally.items()))
            waiting = "".join(
                f"; {n} waiting for {what}" for what, n in waits(record, steps).items()
            )
            err.print(
                f"{record.id} {record.state}: {done}/{len(steps)} steps ({parts}){waiting}; "
                f"{record.note and record.note + '; '}"
                f"{_left(record, steps, self.ahead)}",
                soft_wrap=True,
                markup=False,
            )


class _Screen:
    """Phases × steps, workers, and when it may end."""

    ahead: Forecast | None = None

    def __init__(self, context: Context, run_id: str) -> None:
        self._phases = [p.name for p in context.pipeline.phases if not p.is_source]
        self._live = Live(console=out, refresh_per_second=4, transient=False)

    def __enter__(self) -> _Screen:
        self._live.__enter__()
        return self

    def __exit__(self, *ignored: object) -> None:
        self._live.__exit__(None, None, None)

    def show(self, record: RunRecord, steps: list[StepRecord], *, quiet: bool) -> None:
        self._live.update(self._draw(record, steps))

    def _draw(self, record: RunRecord, steps: list[StepRecord]) -> RenderableType:
        table = Table(title=f"{record.id}: {record.state}", title_justify="left")
        for column in ("phase", "", "done", "running", "failed", "blocked"):
            table.add_column(column, justify="left" if column in ("phase", "") else "right")
        for phase in self._phases:
            of_phase = [step for step in steps if step.id.endswith(f"/{phase}")]
            if not of_phase:
                continue
            tally = Counter(str(step.state) for step in of_phase)
            ended = sum(tally[state] for state in ENDED)
            table.add_row(
                escape(phase),
                ProgressBar(total=len(of_phase), completed=ended, width=30),
                f"{ended}/{len(of_phase)}",
                str(tally["running"] or ""),
                f"[red]{tally['failed'] or ''}[/]",
                f"[yellow]{tally['blocked'] or ''}[/]",
            )
        now = [step for step in steps if step.state == "running" and not step.parked]
        workers = [f"  {escape(step.worker)}: {escape(step.id)}" for step in now]
        failed = [
            f"[red]  {escape(step.id)}: {escape(step.error)}[/]"
            for step in steps
            if step.state == "failed"
        ]
        waiting = [f"  {n} waiting for {escape(what)}" for what, n in waits(record, steps).items()]
        if record.note:
            waiting.append(f"  {escape(record.note)}")
        warning = drift_warning(record, self.ahead)
        warnings = [f"[yellow]{escape(warning)}[/]"] if warning else []
        left = _left(record, steps, self.ahead)
        return Group(table, *workers, *waiting, *failed[-3:], *warnings, left)


def waits(record: RunRecord, steps: Iterable[StepRecord]) -> dict[str, int]:
    """What steps wait for, in words → how many of them, most first."""
    if record.is_ended:
        return {}
    pending = Counter(step.waiting for step in steps if step.state == "pending" and step.waiting)
    return dict(pending.most_common())


def drift_warning(record: RunRecord, ahead: Forecast | None) -> str:
    """What to say of a run that takes far longer than was planned; empty while none does."""
    if record.is_ended or ahead is None or not ahead.drifts or ahead.left is None:
        return ""
    return (
        f"{record.id} drifts: about {duration(ahead.spent + ahead.left)} in all, and its plan "
        f"foresaw {duration(ahead.planned or 0)}. `planner status {record.id}` says what its "
        "steps wait for."
    )


def _left(record: RunRecord, steps: Iterable[StepRecord], ahead: Forecast | None) -> str:
    """How long it took, or may still take: by its estimate, else at the pace so far."""
    if record.is_ended:
        return f"took {duration((record.ended or record.created) - record.created)}"
    if record.started and ahead is not None and ahead.left is not None:
        return f"about {duration(ahead.left)} left"
    all_steps = list(steps)
    ended = sum(step.state in ENDED for step in all_steps)
    spent = max(0.0, time.time() - (record.started or time.time()))
    if not ended or not spent:
        return "waiting for a worker" if not record.started else "just started"
    return f"about {duration(spent / ended * (len(all_steps) - ended))} left"
