"""The report of a restore: what was put back, per phase and table."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

from pydantic import Field

from planner.data import Data
from planner.pipeline.model import RunId
from planner.plan.command import Command
from planner.plan.cost import Cost
from planner.report.advice import enqueue_command
from planner.text import counted, date_runs, moment


class Restored(Data):
    """What was put back in one table."""

    phase: str
    table: str
    dates: tuple[date, ...]
    rows_before: int
    """What the dates held when the restore began."""
    rows: int
    """What they hold now: what they held before the run, by count and by ids."""

    @property
    def line(self) -> str:
        """For people."""
        return (
            f"{self.phase}, {self.table}: {counted(len(self.dates), 'date')} "
            f"({date_runs(self.dates, shown=6)}), {self.rows_before} rows before, {self.rows} now"
        )


class RestoreReport(Data):
    """A restore that has ended. Its ids name files and folders."""

    restore_id: RunId
    run_id: RunId
    pipeline: str
    warehouse: str
    over: bool
    """Whether dates that were written since the run were put back too."""
    begun: float
    """Seconds since the epoch."""
    ended: float
    tables: tuple[Restored, ...]
    not_kept: tuple[str, ...] = ()
    """What the run wrote and cannot be put back, in words."""
    to_recompute: dict[str, tuple[date, ...]] = Field(default_factory=dict)
    """Phase → dates that were computed from what the run had written: the next plan takes them."""
    asked: Command | None = None
    """The command that asked for it."""
    billed: Cost | None = None
    """What the warehouse billed for it. None: nothing."""

    @property
    def phase_dates(self) -> int:
        """How many phases and dates are as they were."""
        return len({(each.phase, day) for each in self.tables for day in each.dates})


def restore_lines(report: RestoreReport) -> Iterator[str]:
    """The report for a terminal."""
    yield (
        f"{report.restore_id}: {counted(report.phase_dates, 'phase-date')} of {report.run_id} "
        "hold what they held before it, by count and by ids."
    )
    yield from (f"  {each.line}" for each in report.tables)
    if report.billed is not None:
        yield f"  billed: {report.billed}"
    for line in report.not_kept:
        yield f"  not put back: {line}"
    for phase, days in report.to_recompute.items():
        yield (
            f"  to recompute: {phase}, {date_runs(days, shown=6)}; "
            f"`{enqueue_command(min(days), max(days))}` takes them"
        )


def restore_markdown(report: RestoreReport, *, level: int = 1) -> str:
    """The report as a file, or as a part of one, with a heading of that level."""
    from planner.report.markdown import plain  # which imports all reports

    lines = [f"{'#' * level} Restore of {report.run_id}", "", f"Ended {moment(report.ended)}.", ""]
    told = [line.strip() for line in restore_lines(report)]
    if report.asked is not None:
        told.append(f"asked by: {report.asked.line}: {report.asked.text}")
    lines += [f"- {plain(line)}" for line in told]
    return "\n".join(lines) + "\n"
