"""The results of a validation, kept to be compared with later ones."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ConfigDict, Field, ValidationError

from planner.data import Data
from planner.errors import UsageError
from planner.files import MB, read_capped, write_whole
from planner.gaps.gaps import GapReason
from planner.pipeline.windows import Window
from planner.validation.counts import Counts
from planner.validation.criterion_row import CriterionRow
from planner.validation.results import MatrixRow, OffBand, Results, off_band, results_of

BASELINE_BYTES = 64 * MB  # five seasons of five phases are 1 MB

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class Baseline(Data):
    """Every result, of one pipeline in one warehouse at one time; kept in a file."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True)

    pipeline: str
    warehouse: str
    scope: Window
    counted_at: datetime
    """UTC."""
    holds: bool
    """Whether every success criterion holds, no rows stand where nothing upstream does, no date is
    outside its band, nothing is unjudged or beyond the calendar and, unless the file says
    `complete = false`, nothing is short or flawed."""
    results: Results = Field(validation_alias="answers", serialization_alias="answers")
    """Its JSON key is `answers`."""
    off_band: tuple[OffBand, ...] = ()
    """Dates outside the `rows_per_entity` of their table."""
    notices: tuple[str, ...] = ()
    """What could not be judged, and rows beyond the calendar, one line each."""


class Change(Data):
    """A phase whose numbers differ, in a season or a named part of it."""

    season: str
    part: str
    phase: str
    before: MatrixRow | None
    """None: it was not counted then."""
    after: MatrixRow | None


class CriterionChange(Data):
    """A criterion whose result differs in a season."""

    criterion: str
    season: str
    before: CriterionRow | None
    after: CriterionRow | None


class Comparison(Data):
    """What differs between two baselines."""

    pipeline: str
    before: datetime
    after: datetime
    phases: tuple[Change, ...]
    criteria: tuple[CriterionChange, ...]


def baseline_of(
    counts: Counts, *, warehouse: str, now: datetime, notices: tuple[str, ...] = ()
) -> Baseline:
    """The result of every query, and of what and when it is."""
    results, off = results_of(counts), off_band(counts)
    judged = [
        row for row in results.gaps if counts.pipeline.complete or row.status is GapReason.ORPHAN
    ]
    return Baseline(
        pipeline=counts.pipeline.name,
        warehouse=warehouse,
        scope=counts.scope,
        counted_at=now,
        holds=results.hold and not judged and not off and not notices,
        results=results,
        off_band=off,
        notices=notices,
    )


def checked_name(name: str) -> str:
    """The name of a baseline, which becomes a file's. Raises `UsageError` for anything else."""
    if _NAME.fullmatch(name) is None:
        raise UsageError(
            f"{name!r} cannot name a baseline: use letters, digits, '-', '_' and '.', "
            "and begin with a letter or digit."
        )
    return name


def save(folder: Path, name: str, baseline: Baseline) -> Path:
    """Keep a baseline as `NAME.json`, in place of an older one; no reader sees half of it."""
    path = folder / f"{checked_name(name)}.json"
    write_whole(path, json.dumps(baseline.as_json(), indent=1) + "\n")
    return path


def read(folder: Path, word: str) -> Baseline:
    """A saved baseline by name, or one in a file by path. Raises `UsageError`."""
    path = folder / f"{word}.json" if _NAME.fullmatch(word) else Path(word).expanduser()
    if not path.is_file():
        path = Path(word).expanduser()
    try:
        return Baseline.model_validate_json(read_capped(path, BASELINE_BYTES))
    except FileNotFoundError:
        saved = sorted(file.stem for file in folder.glob("*.json"))
        near = difflib.get_close_matches(word, saved, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"saved are: {', '.join(saved) or 'none'}."
        raise UsageError(
            f"There is no baseline {word!r}; {hint} Make one with `planner validate --save NAME`."
        ) from None
    except OSError as error:
        raise UsageError(
            f"The baseline {path} cannot be read: {error.strerror}. Make one with "
            "`planner validate --save NAME`."
        ) from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise UsageError(
            f"{path} is not a baseline ({f'{place}: ' if place else ''}{_line(first['msg'])}): "
            "make it anew with `planner validate --save NAME`."
        ) from None


def compare(before: Baseline, after: Baseline) -> Comparison:
    """What changed from one to the other. Raises `UsageError` for those of two pipelines."""
    if before.pipeline != after.pipeline:
        raise UsageError(
            f"These are baselines of two pipelines, {before.pipeline!r} and {after.pipeline!r}: "
            "compare two of one."
        )
    return Comparison(
        pipeline=before.pipeline,
        before=before.counted_at,
        after=after.counted_at,
        phases=tuple(_phases(before.results, after.results)),
        criteria=tuple(_criteria(before.results, after.results)),
    )


def _phases(before: Results, after: Results) -> Iterator[Change]:
    old = {(row.season, row.part, row.phase): row for row in before.matrix}
    new = {(row.season, row.part, row.phase): row for row in after.matrix}
    for season, part, phase in dict.fromkeys((*old, *new)):
        was, now = old.get((season, part, phase)), new.get((season, part, phase))
        if _standing(was) != _standing(now):
            yield Change(season=season, part=part, phase=phase, before=was, after=now)


def _standing(row: MatrixRow | None) -> Any:
    """A phase's own numbers: `overall` also says how other phases stand."""
    return row and row.model_dump(exclude={"overall"})


def _criteria(before: Results, after: Results) -> Iterator[CriterionChange]:
    old = {(row.criterion, row.season): row for row in before.criteria}
    new = {(row.criterion, row.season): row for row in after.criteria}
    for criterion, season in dict.fromkeys((*old, *new)):
        was, now = old.get((criterion, season)), new.get((criterion, season))
        if was != now:
            yield CriterionChange(criterion=criterion, season=season, before=was, after=now)


def _line(text: str) -> str:
    return " ".join(text.split())
