"""Options that several commands share, and how their text is read."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

from planner.errors import UsageError
from planner.pipeline import Pipeline


def parse_day(text: str) -> date:
    """A date as people type it."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a date: write YYYY-MM-DD") from None


def today() -> date:
    """The day it is in UTC, as the warehouse's partitions count."""
    return datetime.now(UTC).date()


def choose_phases(pipeline: Pipeline, phases: str | None, from_phase: str | None) -> list[str]:
    """The phases that may be run: all, those listed, or one and all after it.

    Raises `UsageError` for a phase that does not exist, or that has no runner.
    """
    runnable = [phase.name for phase in pipeline.phases if not phase.is_source]
    if phases and from_phase:
        raise UsageError("Give --phases or --from-phase, not both.")
    if from_phase:
        _known(pipeline, from_phase, runnable)
        return [
            name
            for name in runnable
            if name == from_phase or from_phase in pipeline.ancestors[name]
        ]
    if phases:
        chosen = [name.strip() for name in phases.split(",") if name.strip()]
        for name in chosen:
            _known(pipeline, name, runnable)
        return [name for name in runnable if name in chosen]
    return runnable


def _known(pipeline: Pipeline, name: str, runnable: list[str]) -> None:
    if name in runnable:
        return
    if name in pipeline.by_name:
        raise UsageError(f"Phase {name!r} is a source: nothing here can fill it.")
    raise UsageError(f"There is no phase {name!r} in {pipeline.name}: {', '.join(runnable)}.")


Start = Annotated[
    date | None, typer.Option("--start", parser=parse_day, metavar="DATE", help="First date.")
]
End = Annotated[
    date | None, typer.Option("--end", parser=parse_day, metavar="DATE", help="Last date.")
]
SeasonOption = Annotated[
    str | None, typer.Option("--season", metavar="NAME", help="One season, such as 2021-22.")
]
Phases = Annotated[
    str | None, typer.Option("--phases", metavar="A,B", help="Only these phases may be run.")
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
    int | None, typer.Option("--limit", min=1, help="Only the first so many dates with gaps.")
]
NoCascade = Annotated[
    bool,
    typer.Option(
        "--no-cascade", help="Do not redo dates that were computed from what is repaired."
    ),
]
ReasonText = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why; kept with the run.")
]
Stale = Annotated[
    bool,
    typer.Option("--stale", help="Redo dates, too, whose upstream was written after them: a hint."),
]
MaxBytes = Annotated[
    int | None,
    typer.Option(
        "--max-bytes",
        min=1,
        metavar="BYTES",
        help="Count nothing when counting would be billed more; exit code 2.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="JSON on standard output, and nothing else.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="A run's id; `planner runs` lists them.")]
OutFile = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Write it to a file.", dir_okay=False)
]
GapsFlag = Annotated[
    bool, typer.Option("--gaps", help="Everything that the warehouse shows to be short.")
]
