"""What made each date: fingerprints of the code that wrote it, noted when a run settled it.

One note per run, in `HOME/made`, written when the run ends; it outlives Redis. The newest note of a
date decides. A date that no note names is unknown, and so is one whose code could not be read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import date
from pathlib import Path

from planner.data import Data
from planner.errors import FleetError
from planner.files import MB, read_capped, write_whole
from planner.pipeline.model import RunId

NOTE_BYTES = 16 * MB  # every date of every phase of 50 years is half of that
NO_CODE = "none"
"""The `code` of a runner that has no folder: statements, a service."""


class Fingerprint(Data):
    """What makes the rows of a phase, as hashes; equal ones mean that nothing of it changed."""

    version: str = ""
    """What the phase declares; where it does, that alone decides."""
    runner: str = ""
    """The runner as the pipeline file writes it, with the values that a run set."""
    statements: str = ""
    """The text of its statements, without comments and space."""
    code: str = ""
    """How it was read, and the files of its working folder: `git:…`, `files:…`, `none`. Empty:
    it could not be read."""


UNKNOWN = Fingerprint()
"""Of rows that were put back, and of which no note says what made them."""


class MadeBy(Data):
    """A fingerprint, and the dates that it made."""

    fingerprint: Fingerprint
    dates: dict[str, tuple[date, ...]]
    """Phase → dates."""


class Made(Data):
    """What one run made."""

    run_id: RunId
    pipeline: str
    warehouse: str
    warehouse_id: str = ""
    """What tells the warehouse apart, however it is spelt."""
    ended: float
    """Seconds since the epoch; the newest run that made a date decides."""
    made: tuple[MadeBy, ...]


Newest = Mapping[tuple[str, date], tuple[float, Fingerprint]]
"""Phase and date → when it was made last, and by what."""


def differences(then: Fingerprint, now: Fingerprint) -> tuple[str, ...] | None:
    """What of a fingerprint is other than it was; empty for nothing, None where it is unknown."""
    if then == UNKNOWN:
        return None
    if now.version:
        return () if then.version == now.version else ("version",)
    found = [name for name in ("runner", "statements") if getattr(then, name) != getattr(now, name)]
    kinds = {each.code.partition(":")[0] for each in (then, now)}
    if "" in kinds or len(kinds) > 1:
        return tuple(found) or None
    if then.code != now.code:
        found.append("code")
    return tuple(found)


def save(folder: Path, made: Made) -> None:
    """Write a run's note, whole or not at all. Raises `OSError`."""
    write_whole(folder / f"{made.run_id}.json", json.dumps(made.as_json()))


def read(folder: Path, *, pipeline: str) -> list[Made]:
    """The notes of a pipeline's runs, on any warehouse. Raises `FleetError` for a broken one."""
    found = (_read(path) for path in sorted(folder.glob("*.json")))
    return [each for each in found if each.pipeline == pipeline]


def _read(path: Path) -> Made:
    try:
        return Made.model_validate_json(read_capped(path, NOTE_BYTES))
    except (OSError, ValueError) as error:
        raise FleetError(
            f"{path} cannot be read ({type(error).__name__}): it says what made the dates of a "
            "run. Restore it, or delete it: then these dates are unknown."
        ) from None


def newest(notes: Iterable[Made]) -> Newest:
    """What made each phase and date last."""
    found: dict[tuple[str, date], tuple[float, Fingerprint]] = {}
    for note in notes:
        for each in note.made:
            for phase, days in each.dates.items():
                for day in days:
                    if (phase, day) not in found or found[phase, day][0] <= note.ended:
                        found[phase, day] = (note.ended, each.fingerprint)
    return found
