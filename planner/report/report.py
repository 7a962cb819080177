"""The report of a run: what was asked, what happened, before and after, and what remains.

The model, and what follows from it. The modules beside it render it for people.
"""

from __future__ import annotations

from collections import Counter
from datetime import date
from functools import cached_property
from typing import Literal

from pydantic import Field

from planner.data import Data
from planner.gaps.matrix import Matrix
from planner.gaps.snapshot import Snapshot
from planner.pipeline.model import RunId
from planner.pipeline.publish import Publication
from planner.pipeline.shape import PhaseShape
from planner.pipeline.windows import Season, Window
from planner.plan.command import Command
from planner.plan.cost import Cost, readable
from planner.report.changes import TableChange, phase_lines
from planner.text import date_runs, moment
from planner.validation.criterion_row import CriterionRow

CONSEQUENCES = ("blocked", "cancelled", "pending")
"""States of dates that were not tried because other dates failed."""

Cause = Literal["", "incomplete", "grew", "removed", "gone", "changed", "undue"]
"""Why a date is short after its run: it never was complete; its source grew after the step; rows
were removed after the step; what it was computed from is gone, or was written after it; its source
holds nothing of it any more. Empty: not known."""

LINES_SHOWN = 10  # losses, remarks and orphans; report.json has all

NOT_COUNTED = "not counted"
"""The reason of dates that are short for want of a final count."""


class Short(Data):
    """A phase and date that is short after the run."""

    phase: str
    date: date
    reason: str
    expected: int
    found: int
    cause: Cause = ""
    detail: str = ""
    """What is wrong, in words."""
    lacks: tuple[str, ...] = ()
    """The ids that it lacks, as far as they are named."""
    unnamed: int = 0
    """How many more ids one of its tables lacks."""


class Validation(Data):
    """The recount of the plan's scope and its cascade, after every step has settled."""

    passed: bool
    """Whether every date that the plan took is complete now."""
    checked: int
    """Phases and dates that the plan took."""
    short: tuple[Short, ...]
    """Those of them that are not complete."""
    remaining: int
    """Gaps in the scope that the plan did not take."""


class Failure(Data):
    """Dates of a phase that are not repaired, for one reason."""

    phase: str
    dates: tuple[date, ...]
    state: str
    reason: str
    retry: str
    """The command that tries them again."""


class CodeSeen(Data):
    """Code that steps of the run were run by."""

    code: str
    """The commit of the folder that the scripts are in, and whether it was changed since."""
    since: float
    """When a step first met it, in seconds since the epoch."""


class Remark(Data):
    """Something to know of dates that are done."""

    phase: str
    dates: tuple[date, ...]
    text: str


class StepRow(Data):
    """One step as it went."""

    id: str
    phase: str
    dates: tuple[date, ...]
    state: str
    worker: str
    attempt: int
    started: float | None
    """Seconds since the epoch."""
    ended: float | None
    error: str
    worked: float | None = None
    """Seconds at work over all attempts, those of a service included; no pause between them."""
    billed: int = 0
    """Bytes that the warehouse billed for it."""
    labelled: int = 0
    """Of these, what jobs of its script, service or package's runner were, by their labels."""

    @property
    def seconds(self) -> float | None:
        """Seconds at work, or from start to end where that is not known; None if it never ran."""
        if self.worked is not None:
            return self.worked
        if self.started is None or self.ended is None:
            return None
        return max(0.0, self.ended - self.started)


class Report(Data):
    """All data of the report of an ended run."""

    run_id: RunId
    plan_id: str
    pipeline: str
    warehouse: str
    entity: str
    state: str
    reason: str
    values: dict[str, str] = Field(default_factory=dict)
    """What the run set in the place of `{name}`."""
    pinned: dict[str, int] = Field(default_factory=dict)
    """Phase → the number of the runner that the user chose, from 1."""
    scope: Window
    created: float
    started: float | None
    ended: float
    steps: tuple[StepRow, ...]
    validation: Validation
    criteria: tuple[CriterionRow, ...] = ()
    """The success criteria of the pipeline file, over the days that the run reached."""
    publication: Publication | None = None
    """What the run published; None without any. Never verified."""
    failures: tuple[Failure, ...]
    left_alone: int
    """Phases and dates that the plan did not take, though short."""
    before: Matrix
    after: Matrix
    seasons: tuple[Season, ...]
    """Those that the reach touches."""
    days_before: Snapshot
    """Every phase on every day of the reach, when the plan was made."""
    days_after: Snapshot
    """The same, when every step had settled."""
    estimate: dict[str, float] | None = None
    """Phase → seconds of work that the plan foresaw; None when it foresaw nothing."""
    notes: tuple[str, ...] = ()
    """What went wrong beside the run."""
    losses: tuple[Short, ...] = ()
    """Dates that were complete when the plan was made, and are short now."""
    orphans: tuple[Short, ...] = ()
    """Dates that hold rows though nothing upstream does."""
    remarks: tuple[Remark, ...] = ()
    """What to know of dates that are done."""
    billed: Cost | None = None
    """What the warehouse billed: steps, and the counts at the end. None: nothing, or not told."""
    unbilled: dict[str, str] = Field(default_factory=dict)
    """Phase → why what its runner's jobs were billed is not in it."""
    kept_until: float | None = None
    """Until when what it wrote over can be put back; seconds since the epoch. None: never."""
    changes: tuple[TableChange, ...] = ()
    """How rows that were complete before differ from what they were, of a run that kept them."""
    code: tuple[CodeSeen, ...] = ()
    """By which code the scripts were run; more than one when it changed during the run."""
    shapes: tuple[PhaseShape, ...] = ()
    """What each phase is computed from; none in reports of before."""
    commands: tuple[Command, ...] = ()
    """Every command that touched the run, in order; the first one sent it."""

    @property
    def phases(self) -> list[str]:
        """Names of the phases, in order."""
        return list(self.days_after.phases)

    @property
    def accepted(self) -> int:
        """How many phase-dates of the reach lack rows, which the pipeline file accepts."""
        return self.days_after.accepted()

    @cached_property
    def undone(self) -> frozenset[tuple[str, date]]:
        """Phases and dates that the failures name."""
        return frozenset((each.phase, day) for each in self.failures for day in each.dates)


class PhaseTime(Data):
    """How the steps of one phase went."""

    phase: str
    steps: int
    states: dict[str, int]
    """State → steps."""
    dates: int
    work: float
    """Seconds that its steps took, added up."""
    span: float
    """Seconds from its first start to its last end."""
    planned: float | None
    """Seconds of work that the plan foresaw."""
    workers: int


def verdict(report: Report) -> str:
    """The result of the final validation in one sentence."""
    check = report.validation
    others = (
        "1 other gap remains" if check.remaining == 1 else f"{check.remaining:,} other gaps remain"
    )
    return (
        f"{check.checked - len(check.short):,} of {check.checked:,} repaired phase-dates are "
        f"complete after a recount; {others} in scope{_accepted(report)}."
    )


def _accepted(report: Report) -> str:
    count = report.accepted
    return f"; {count:,} of its phase-dates lack rows, which is accepted" if count else ""


def bare_seasons(report: Report) -> list[str]:
    """Seasons of the reach in which no source holds anything, so that nothing is expected.

    They are named, and not called complete: a season that was never loaded looks the same.
    """
    return [
        season.name
        for season in report.seasons
        if not any(
            count.expected
            for matrix in (report.before, report.after)
            for count in matrix.get(season.name, {}).values()
        )
    ]


def phase_times(report: Report) -> list[PhaseTime]:
    """Per phase that had steps, in order: how many, how they ended, how long they took."""
    times = []
    for phase in dict.fromkeys([*report.phases, *(row.phase for row in report.steps)]):
        rows = [row for row in report.steps if row.phase == phase]
        if not rows:
            continue
        timed = [(row.started, row.ended) for row in rows if row.started and row.ended]
        states = [row.state for row in rows]
        times.append(
            PhaseTime(
                phase=phase,
                steps=len(rows),
                states={state: states.count(state) for state in dict.fromkeys(states)},
                dates=sum(len(row.dates) for row in rows),
                work=sum(row.seconds or 0.0 for row in rows),
                span=max(e for _, e in timed) - min(s for s, _ in timed) if timed else 0.0,
                planned=(report.estimate or {}).get(phase),
                workers=len({row.worker for row in rows if row.worker}),
            )
        )
    return times


def loss_lines(report: Report) -> list[str]:
    """What was complete before the run and is short after it; none as a rule."""
    return [
        f"Lost: {each.phase} {each.date} held all rows when the plan was made. {each.detail}."
        for each in report.losses[:LINES_SHOWN]
    ] + _and_more(len(report.losses))


def code_lines(report: Report) -> list[str]:
    """By which code the run was made, and since when where there was more than one."""
    if len(report.code) < 2:
        return [f"code: {each.code}" for each in report.code]
    told = [f"{each.code} (from {moment(each.since)})" for each in report.code]
    return [f"code: it changed during the run: {', then '.join(told)}"]


def command_lines(report: Report) -> list[str]:
    """Who asked for the run; and what else was done to it."""
    return [
        f"{'asked by' if n == 0 else 'then'}: {each.line}: {each.text}"
        for n, each in enumerate(report.commands)
    ]


def billed_phases(report: Report) -> dict[str, int]:
    """Phase → bytes that were billed for its steps; the counts at the end are under no name."""
    phases: dict[str, int] = {}
    for row in report.steps:
        phases[row.phase] = phases.get(row.phase, 0) + row.billed
    rest = (report.billed.bytes if report.billed else 0) - sum(phases.values())
    return {phase: billed for phase, billed in phases.items() if billed} | {"": max(rest, 0)}


def billed_lines(report: Report) -> list[str]:
    """What the warehouse billed, by phase; none where it bills nothing."""
    if report.billed is None:
        return []
    labelled: Counter[str] = Counter()
    for row in report.steps:
        labelled[row.phase] += row.labelled
    parts = [
        billed_text(phase or "counts at the end", billed, labelled[phase])
        for phase, billed in billed_phases(report).items()
        if billed
    ]
    lines = [f"billed: {report.billed}: {', '.join(parts)}"]
    return lines + [f"billed: unknown for {name}: {why}" for name, why in report.unbilled.items()]


def billed_text(name: str, billed: int, labelled: int) -> str:
    """What was billed under a name, and what of it is known by the labels of jobs alone."""
    of_these = f" (of these {readable(labelled)} by jobs with its labels)" if labelled else ""
    return f"{name} {readable(billed)}{of_these}"


def keep_lines(report: Report) -> list[str]:
    """Until when what the run wrote over can be put back, and how."""
    if report.kept_until is None:
        return []
    until = moment(report.kept_until)
    return [
        f"kept: what it wrote over, until {until}: `planner restore {report.run_id}` puts it back"
    ]


def change_lines(report: Report) -> list[str]:
    """How rows that were written anew differ from before, one line per phase."""
    return [f"written anew, {line}" for line in phase_lines(report.changes)]


def remark_lines(report: Report) -> list[str]:
    """What to know of dates that are done, and rows where nothing upstream holds any."""
    lines = [
        f"{each.phase} {date_runs(each.dates)}: {each.text}"
        for each in report.remarks[:LINES_SHOWN]
    ] + _and_more(len(report.remarks))
    lines += [
        f"{each.phase} {each.date}: orphan: {each.detail}" for each in report.orphans[:LINES_SHOWN]
    ]
    return lines + _and_more(len(report.orphans))


def _and_more(count: int) -> list[str]:
    return [f"… and {count - LINES_SHOWN:,} more: report.json has them."] * (count > LINES_SHOWN)


def publication_lines(publication: Publication) -> list[str]:
    """What the script was run for, that no table verifies it, and what failed."""
    lines = [f"Not verified: no table shows what was published after {publication.phase}."]
    if publication.ran:
        lines.append(f"The script ended well for {date_runs(publication.ran)}.")
    lines += [f"{day}: {why}" for day, why in publication.failed.items()]
    return lines
