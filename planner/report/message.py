"""The texts of notifications: of runs, of healing, of sources that are late. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import date
from typing import Annotated

from pydantic import AfterValidator

from planner.data import Data
from planner.gaps.matrix import Count
from planner.report.advice import enqueue_command, next_steps
from planner.report.causes import cause_lines, causes
from planner.report.report import Report, verdict
from planner.text import counted, date_runs, duration, printable, quiet

CAUSES_MOST = 5
LINES_MOST = 40
RUNS_SHOWN = 6  # stretches of dates in one message


def _quiet(text: str) -> str:
    return quiet(printable(text))


Quiet = Annotated[str, AfterValidator(_quiet)]
"""Text that holds what others said: chats make links and mentions of it."""


class Message(Data):
    """One message, as it goes to a command or a web hook."""

    event: str
    """`run_ended`, `restore_ended`, `run_stalled`, `run_drifts`, `gave_up` or `source_late`."""
    run_id: str
    """Empty where it is about no run."""
    pipeline: str
    state: str
    """Of the run, or of the restore."""
    title: Quiet
    text: Quiet
    """Title, what happened, causes and what to do, in lines; what Slack and its like show."""


def run_ended(report: Report) -> Message:
    """That a run has ended: how, why what is short is short, and the command to go on with."""
    title = f"{report.pipeline}: {report.run_id} {report.state}"
    lines = [title, verdict(report), f"It took {duration(report.ended - report.created)}."]
    lines += _before_and_after(report)
    found = causes(report.run_id, report.failures)
    for cause in found[:CAUSES_MOST]:
        lines += cause_lines(cause)
    if len(found) > CAUSES_MOST:
        lines.append(
            f"… and {len(found) - CAUSES_MOST} more causes: planner report {report.run_id}"
        )
    if found or report.validation.remaining or report.validation.short:
        lines += [" ".join(filter(None, (s.text, s.command))) for s in next_steps(report)]
    return Message(
        event="run_ended",
        run_id=report.run_id,
        pipeline=report.pipeline,
        state=report.state,
        title=title,
        text="\n".join(lines[:LINES_MOST]),
    )


def restore_ended(
    restore_id: str, run_id: str, pipeline: str, state: str, lines: Iterable[str]
) -> Message:
    """That a restore of a run has ended, and how, in `lines`."""
    title = f"{pipeline}: {restore_id}, of {run_id}, {state}"
    return Message(
        event="restore_ended",
        run_id=restore_id,
        pipeline=pipeline,
        state=state,
        title=title,
        text="\n".join([title, *lines][:LINES_MOST]),
    )


def _before_and_after(report: Report) -> Iterator[str]:
    """A line per phase in which dates became complete, or ceased to be."""
    seasons = [name for name in report.after if "/" not in name]  # the others are parts of these
    for phase in report.phases:
        after = [report.after[name].get(phase, Count()) for name in seasons]
        before = [report.before.get(name, {}).get(phase, Count()) for name in seasons]
        had, has = (sum(count.complete for count in each) for each in (before, after))
        if had != has:
            due = sum(count.expected for count in after)
            yield f"{phase}: {had:,} → {has:,} of {due:,} dates complete"


def run_stalled(run_id: str, pipeline: str, *, seconds: float, waits: str) -> Message:
    """That no step of a run has begun or ended for long, and what it waits for."""
    title = f"{pipeline}: {run_id} stands still"
    text = f"No step has begun or ended for {duration(seconds)}; {waits}. planner status {run_id}"
    return Message(
        event="run_stalled",
        run_id=run_id,
        pipeline=pipeline,
        state="running",
        title=title,
        text=f"{title}\n{text}",
    )


def run_drifts(run_id: str, pipeline: str, *, planned: float, expected: float) -> Message:
    """That a run takes more than twice as long as its plan foresaw."""
    title = f"{pipeline}: {run_id} takes longer than planned"
    text = (
        f"Its plan foresaw {duration(planned)}, and it looks like {duration(expected)} by now. "
        f"planner status {run_id} says what it waits for; more workers, or planner cancel {run_id}."
    )
    return Message(
        event="run_drifts",
        run_id=run_id,
        pipeline=pipeline,
        state="running",
        title=title,
        text=f"{title}\n{text}",
    )


def gave_up(pipeline: str, dates: Mapping[str, Collection[date]], attempts: int) -> Message:
    """Healing has quarantined some dates; phase → dates."""
    phases = [f"{phase} {date_runs(days, shown=RUNS_SHOWN)}" for phase, days in dates.items()]
    title = f"{pipeline}: healing gave up {phases[0]}"
    if len(phases) > 1:
        title += f", and dates of {counted(len(phases) - 1, 'more phase')}"
    phase, days = next(iter(dates.items()))
    every = [day for each in dates.values() for day in each]
    text = (
        f"{counted(attempts, 'run')} took what is short still. planner explain {phase} {min(days)} "
        f"says what was tried; {enqueue_command(min(every), max(every))} tries it again, and "
        "planner heal --release lets healing take it again."
    )
    return Message(
        event="gave_up",
        run_id="",
        pipeline=pipeline,
        state="quarantined",
        title=title,
        text="\n".join([title, *phases[1:LINES_MOST], text]),
    )


def source_late(pipeline: str, phase: str, days: Collection[date]) -> Message:
    """A source is late: its rows should be there by now."""
    title = f"{pipeline}: {phase} is late"
    text = (
        f"It lacks {date_runs(days, shown=RUNS_SHOWN)}, by late_after of the pipeline file, and "
        f"nothing below it can be made. planner explain {phase} {min(days)}"
    )
    return Message(
        event="source_late",
        run_id="",
        pipeline=pipeline,
        state="late",
        title=title,
        text=f"{title}\n{text}",
    )
