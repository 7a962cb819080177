"""Options that several commands share, and how their text is read."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from planner import clock
from planner.console.spoken import spoken
from planner.errors import UsageError
from planner.gaps.gaps import FLAWS, SHORT, GapReason
from planner.pipeline.days import day_of, windows_of
from planner.pipeline.duration import seconds_of
from planner.pipeline.model import RUN_ID
from planner.text import nearest, printable

if TYPE_CHECKING:
    from planner.pipeline.pipeline import Pipeline
    from planner.pipeline.windows import Window

LINE_CHARS = 500  # of text that is kept with a run

_RUN_ID = re.compile(RUN_ID)


def parse_day(text: str) -> date:
    """A date as people type it: `2026-03-01`, `today`, `yesterday`."""
    try:
        meant = spoken(text)
        if meant is None:
            return day_of(text)
        if meant.start != meant.end:
            raise ValueError(f"{text!r} is more than one date: name one")
        return meant.start
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def parse_run_id(text: str) -> str:
    """A run's id, which is part of keys and paths."""
    if _RUN_ID.fullmatch(text) is None:
        raise typer.BadParameter(f"{text!r} is no run's id: `planner runs` lists them")
    return text


def parse_line(text: str) -> str:
    """Text that is kept and shown: one line of it."""
    if len(text) > LINE_CHARS or "\n" in text or printable(text) != text:
        raise typer.BadParameter(f"write one line of at most {LINE_CHARS} characters")
    return text


def parse_names(text: str) -> str:
    """Names with commas between; none would mean all of them."""
    if not any(name.strip() for name in text.split(",")):
        raise typer.BadParameter("name at least one, or leave the option out")
    return text


def choose_reasons(text: str | None) -> tuple[GapReason, ...]:
    """The flaws that are repaired too; missing and partial dates always are.

    Raises `UsageError` for what is no reason.
    """
    repaired = sorted(SHORT - {GapReason.LATE})  # sources alone are late
    known = {str(reason): reason for reason in (*repaired, *FLAWS)}
    names = [part.strip() for part in (text or "").split(",") if part.strip()]
    for name in names:
        if name not in known:
            hint = nearest(name, known, what="reasons")
            raise UsageError(f"--reasons: {name!r} is none that can be repaired; {hint}")
    return tuple(known[name] for name in names)


def parse_days(text: str) -> frozenset[date]:
    """Dates as people list them: `2026-03-01..2026-03-07,2026-03-11`, both ends included, or
    `last 30 days`."""
    try:
        windows = [each for part in text.split(",") for each in _windows(part)]
        return frozenset(day for window in windows for day in window.days())
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


def _windows(text: str) -> Iterable[Window]:
    meant = spoken(text)
    return windows_of(text) if meant is None else [meant]


def parse_duration(text: str) -> int:
    """A duration as people type it, in seconds: `6h`, `1d12h`, `90m`."""
    try:
        total = seconds_of(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if not total:
        raise typer.BadParameter(f"{text!r} is no time: write 6h, 1d12h or 90m")
    return total


def parse_dollars(text: str) -> float:
    """A sum of dollars: a limit that is no number, or has no end, is none."""
    try:
        dollars = float(text)
    except ValueError:
        dollars = math.nan
    if not (math.isfinite(dollars) and dollars >= 0):
        raise typer.BadParameter(f"{text!r} is no sum of dollars: write 2.50, or leave it out")
    return dollars


def today(pipeline: Pipeline) -> date:
    """The day it is in the pipeline's time zone."""
    from planner.pipeline.closing import Closing

    return Closing(pipeline=pipeline, now=clock.now()).today


def choose_phases(pipeline: Pipeline, phases: str | None, from_phase: str | None) -> list[str]:
    """The phases that may be run: all, those listed, or one and all after it.

    Raises `UsageError` for a phase that does not exist, or that has no runner.
    """
    runnable = [phase.name for phase in pipeline.phases if not phase.is_watched]
    if phases is not None and from_phase is not None:
        raise UsageError("Give --phases or --from-phase, not both.")
    if from_phase is not None:
        _known(pipeline, from_phase, runnable)
        return [
            name
            for name in runnable
            if name == from_phase or from_phase in pipeline.ancestors[name]
        ]
    if phases is not None:
        chosen = [name.strip() for name in phases.split(",") if name.strip()]
        for name in chosen:
            _known(pipeline, name, runnable)
        return [name for name in runnable if name in chosen]
    return runnable


def _known(pipeline: Pipeline, name: str, runnable: list[str]) -> None:
    if name in runnable:
        return
    if name in pipeline.by_name:
        raise UsageError(
            f"Phase {name!r} has no runner, so nothing here can fill it: name one of "
            f"{', '.join(runnable)}."
        )
    raise UsageError(
        f"There is no phase {name!r} in {pipeline.name}; {nearest(name, runnable, what='phases')}"
    )


Start = Annotated[
    date | None, typer.Option("--start", parser=parse_day, metavar="DATE", help="First date.")
]
End = Annotated[
    date | None, typer.Option("--end", parser=parse_day, metavar="DATE", help="Last date.")
]
Dates = Annotated[
    frozenset[date] | None,
    typer.Option(
        "--dates",
        parser=parse_days,
        metavar="DATES",
        help="Only these dates: 2026-03-01..2026-03-07,2026-03-11, or 'last 30 days'.",
    ),
]
Exclude = Annotated[
    frozenset[date] | None,
    typer.Option(
        "--exclude",
        parser=parse_days,
        metavar="DATES",
        help="Leave these dates out, and what rests on them: 2026-03-01..2026-03-07,2026-03-11.",
    ),
]
SeasonOption = Annotated[
    str | None,
    typer.Option(
        "--season",
        "--period",
        metavar="NAME",
        help="One season or period: a part of the calendar that the pipeline file names, such as "
        "2021-22, or a year; or a window of it: '2021-22 playoffs'.",
    ),
]
Phases = Annotated[
    str | None,
    typer.Option(
        "--phases", parser=parse_names, metavar="A,B", help="Only these phases may be run."
    ),
]
FromPhase = Annotated[
    str | None, typer.Option("--from-phase", metavar="A", help="This phase and all after it.")
]
ChunkDates = Annotated[
    int | None,
    typer.Option("--chunk-dates", min=1, max=366, help="Partition dates per chunk, at most."),
]
NewestFirst = Annotated[bool, typer.Option("--newest-first", help="Start with the latest dates.")]
Limit = Annotated[
    int | None,
    typer.Option("--limit", min=1, help="Only the first so many dates with gaps that can be done."),
]
Reasons = Annotated[
    str | None,
    typer.Option(
        "--reasons",
        parser=parse_names,
        metavar="A,B",
        help="Write anew, too, dates with these flaws: duplicate, audit, unfilled, surplus.",
    ),
]
NoCascade = Annotated[
    bool,
    typer.Option(
        "--no-cascade", help="Do not recompute dates that were computed from what is repaired."
    ),
]
ForceService = Annotated[
    bool,
    typer.Option(
        "--force-service", help="Let a service end what it does for others, to start ours at once."
    ),
]
NoKeep = Annotated[
    bool,
    typer.Option(
        "--no-keep", help="Keep nothing of what is written over: no `planner restore` then."
    ),
]
ReasonText = Annotated[
    str,
    typer.Option("--reason", parser=parse_line, metavar="TEXT", help="Why; kept with the run."),
]
As = Annotated[
    str | None,
    typer.Option(
        "--as",
        parser=parse_line,
        metavar="NAME",
        help="Who asks, where login and host do not say it; kept with the run.",
    ),
]


def parse_set(text: str) -> tuple[str, str]:
    """A value that one run sets, as `name=value`."""
    name, sign, value = text.partition("=")
    if not (sign and name.strip() and value):
        raise typer.BadParameter(f"{text!r}: write name=value")
    return name.strip(), value


def parse_runner(text: str) -> tuple[str, int]:
    """The runner that one run uses for a phase, as `phase=2`."""
    name, _, number = text.partition("=")
    if not (name.strip() and number.isascii() and number.isdigit()):
        raise typer.BadParameter(f"{text!r}: write phase=number, such as analytics=2")
    return name.strip(), int(number)


SetValues = Annotated[
    list[Any] | None,
    typer.Option(
        "--set",
        parser=parse_set,
        metavar="NAME=VALUE",
        help="For this run, what {NAME} is that a runner declares. Repeatable.",
    ),
]
RunnerOf = Annotated[
    list[Any] | None,
    typer.Option(
        "--runner",
        parser=parse_runner,
        metavar="PHASE=N",
        help="For this run, the runner of a phase by its number in the file. Repeatable.",
    ),
]
Stale = Annotated[
    bool,
    typer.Option(
        "--stale", help="Recompute dates, too, whose upstream was written after them: a hint."
    ),
]
IncludeOpen = Annotated[
    bool,
    typer.Option(
        "--include-open",
        help="Judge days, too, that are not closed: whose rows may still come.",
    ),
]
Redo = Annotated[
    bool,
    typer.Option(
        "--redo",
        help="Write anew dates that are complete, of --phases or all, with what rests on them.",
    ),
]
Changed = Annotated[
    bool,
    typer.Option(
        "--changed",
        help="Dates that are complete, and that other code than today's made: written anew.",
    ),
]
All = Annotated[bool, typer.Option("--all", help="With --redo: every date there is.")]
MaxBytes = Annotated[
    int | None,
    typer.Option(
        "--max-bytes",
        min=1,
        metavar="BYTES",
        help="Count nothing when counting would be billed more; exit code 2.",
    ),
]
MaxDollars = Annotated[
    float | None,
    typer.Option(
        "--max-dollars",
        parser=parse_dollars,
        metavar="DOLLARS",
        help="Send nothing that is known to be billed more; pause the run when it was.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="JSON on standard output, and nothing else.")]
Deadline = Annotated[
    int | None,
    typer.Option(
        "--deadline",
        parser=parse_duration,
        metavar="TIME",
        help="Cancel the run if it has not ended after this long, such as 6h.",
    ),
]
RunId = Annotated[
    str,
    typer.Argument(
        parser=parse_run_id, metavar="RUN", help="A run's id; `planner runs` lists them."
    ),
]
OutFile = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Write it to a file.", dir_okay=False)
]
HtmlFile = Annotated[
    Path | None,
    typer.Option(
        "--html", metavar="FILE", help="Write it to a file as a page to look at.", dir_okay=False
    ),
]
GapsFlag = Annotated[
    bool, typer.Option("--gaps", help="Everything that the warehouse shows to be short.")
]
