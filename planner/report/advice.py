"""What is left for a person to do after a run, each with its command."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import date

from planner.data import Data
from planner.gaps.gaps import OUTDATED
from planner.report.report import CONSEQUENCES, NOT_COUNTED, Cause, Report
from planner.text import counted, date_runs

ENQUEUE = "`planner enqueue --gaps`"
"""Stands in the reason of a failure that a retry cannot help."""

PUT_BACK = "put them back with"
"""Stands in the reason of a failure that left fewer rows than there were; a command follows."""

APPENDS = (
    "Another run of what appends rows would add more: let it replace the rows of its dates, then "
    "`planner enqueue --gaps --reasons duplicate`"
)
"""Stands in the reason of a failure that made duplicates."""


class NextStep(Data):
    """Something for a person to do, and the command for it."""

    text: str
    command: str = ""


def enqueue_command(first: date, last: date) -> str:
    """What a person types to repair what is short from one day to another."""
    return f"planner enqueue --gaps --start {first} --end {last}"


def retry_command(
    run_id: str, phase: str, dates: tuple[date, ...], why: str = "", *, whole: bool = False
) -> str:
    """What a person types to try some dates again that failed for a reason.

    `whole` when nothing else of the run is to be tried again; no phase means all of them.
    """
    again = enqueue_command(min(dates), max(dates))
    if APPENDS in why:
        return f"{again} --reasons duplicate"
    if ENQUEUE in why:
        return again
    if whole:
        return f"planner retry {run_id}"
    of = f" --phase {phase}" if phase else ""
    return f"planner retry {run_id}{of} --dates {date_runs(dates).replace(', ', ',')}"


def next_steps(report: Report) -> list[NextStep]:
    """What is left to do, most urgent first; never empty."""
    scope = f"--start {report.scope.start} --end {report.scope.end}"
    steps = [*_unrepaired(report), *_to_recompute(report), *_unpublished(report)]
    if report.validation.remaining:
        steps.append(
            NextStep(
                text=f"{report.validation.remaining} gaps of the scope were not part of this plan. "
                "See them, and why they were skipped.",
                command=f"planner gaps {scope}",
            )
        )
    if not steps:
        steps.append(
            NextStep(
                text=f"Nothing is left to do from {report.scope.start} to {report.scope.end}. "
                "Count again at any time.",
                command=f"planner gaps {scope}",
            )
        )
    return steps


def _unrepaired(report: Report) -> Iterator[NextStep]:
    """What was lost; failures; dates that are short although their step succeeded."""
    again = enqueue_command(report.scope.start, report.scope.end)
    if report.losses:
        yield NextStep(
            text=f"{counted(len(report.losses), 'phase-date')} held all rows when the plan was "
            "made, and not now: find out what removed them, then repair them.",
            command=again,
        )
    yield from _to_put_back(report)
    if any(APPENDS in failure.reason for failure in report.failures):
        yield NextStep(
            text="A phase added rows to those that were there, and a retry would add more: let it "
            "replace the rows of its dates, then repair them.",
            command=f"{again} --reasons duplicate",
        )
    told = (ENQUEUE, APPENDS)
    causes = [
        failure
        for failure in report.failures
        if failure.state not in CONSEQUENCES or any(each in failure.reason for each in told)
    ]
    left = [f for f in causes or report.failures if APPENDS not in f.reason]
    if any(ENQUEUE not in failure.reason for failure in left):
        yield NextStep(
            text="Look into the reasons of what is not repaired, then try all of it again.",
            command=f"planner retry {report.run_id}",
        )
    elif left:
        yield NextStep(
            text="Rows upstream went away, which no retry can help: a new plan takes what is due.",
            command=again,
        )
    short = [
        each for each in report.validation.short if (each.phase, each.date) not in report.undone
    ]
    if any(each.reason == NOT_COUNTED for each in short):
        yield NextStep(
            text="What the run did could not be counted: mend what the note says, then repair "
            "what a new count finds short.",
            command=again,
        )
    lost = {(each.phase, each.date) for each in report.losses}
    for cause, (text, more) in _CAUSES.items():
        dates = sum(each.cause == cause and (each.phase, each.date) not in lost for each in short)
        if dates:
            yield NextStep(text=f"{counted(dates, 'phase-date')} {text}", command=again + more)


_CAUSES: dict[Cause, tuple[str, str]] = {
    "grew": ("succeeded, and upstream grew since: repair what is new.", ""),
    "removed": (
        "succeeded, and lost rows since: find out what removed them, then repair them.",
        "",
    ),
    "gone": ("succeeded, and rest on rows that are gone now: repair those first.", ""),
    "changed": (
        "succeeded, and rest on rows that were written after them: compute them anew.",
        " --stale",
    ),
    "undue": (
        "succeeded, and their source holds nothing of them any more: find out what removed it.",
        "",
    ),
}
"""Why a date is short although its step succeeded → what to do, and what to add to the command."""


def _to_put_back(report: Report) -> Iterator[NextStep]:
    """What a run kept of dates that hold less now than before it."""
    lost: dict[str, set[date]] = {}
    for failure in report.failures:
        if PUT_BACK in failure.reason and failure.state not in CONSEQUENCES:
            lost.setdefault(failure.phase, set()).update(failure.dates)
    for phase, days in lost.items():
        yield NextStep(
            text=f"{counted(len(days), 'date')} of {phase} hold fewer rows than before the run. "
            "What they held is kept: put it back, or repair them.",
            command=restore_command(report.run_id, phase, days),
        )


def restore_command(run_id: str, phase: str | None, dates: Collection[date]) -> str:
    """What a person types to put back what some dates held; without a phase of all, without dates
    all of them."""
    of = f" --phase {phase}" if phase else ""
    days = f" --dates {date_runs(dates).replace(', ', ',')}" if dates else ""
    return f"planner restore {run_id}{of}{days}"


def _to_recompute(report: Report) -> Iterator[NextStep]:
    """Dates to recompute, without those that the failures name already."""
    owed = [
        day
        for phase in report.phases
        for reason in OUTDATED
        for day in report.days_after.days(phase, reason)
        if (phase, day) not in report.undone
    ]
    if owed:
        yield NextStep(
            text=f"{counted(len(owed), 'phase-date')} hold rows that were computed before their "
            "upstream was repaired. The next plan takes them.",
            command=enqueue_command(min(owed), max(owed)),
        )


def _unpublished(report: Report) -> Iterator[NextStep]:
    if report.publication is not None and report.publication.failed:
        yield NextStep(
            text=f"{counted(len(report.publication.failed), 'date')} could not be published. "
            "Mend that, then publish each by hand; the first one:",
            command=report.publication.commands[0],
        )
