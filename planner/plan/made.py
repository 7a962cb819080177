"""What made each date: fingerprints of the code that wrote it, noted when a run settled it.

One note per run, in `HOME/made`, written when the run ends; it outlives Redis. The newest note of a
date decides. A date that no note names is unknown, and so is one whose code could not be read.

Notes of long ago are merged into one, `_older.json`, without the dates that a later one of long ago
names: so the newest note of a date always stays, and so does the one before a run that can still
be restored.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from planner.data import Data
from planner.errors import FleetError
from planner.files import MB, alone, read_capped, write_whole
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


OLDER = "_older.json"
"""The notes of long ago, in one file; no run's id begins like that."""
LIFE_SECONDS = 90 * 86_400
"""How long notes stay as they were written: a run can be restored while the ledger has it, a month
after its end, and then what made its dates before it is asked for."""
MERGED_AT_ONCE = 20
"""Notes; so that not every run's end writes the merged ones anew."""

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


_ONE: TypeAdapter[Any] = TypeAdapter(Made)
_MANY: TypeAdapter[Any] = TypeAdapter(list[Made])

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
    found = list(_notes(folder).values())
    found += _read_older(folder)  # after the others: one that is merged meanwhile is in it
    return [each for each in found if each.pipeline == pipeline]


def merge_older(folder: Path, *, now: float) -> None:
    """Merge the notes of runs that ended long before `now`, once there are some.

    Raises `OSError`, and `FleetError` for a broken note: nothing is merged then.
    """
    with alone(folder):
        old = {
            path: note for path, note in _notes(folder).items() if note.ended < now - LIFE_SECONDS
        }
        if len(old) < MERGED_AT_ONCE:
            return
        text = json.dumps(
            [each.as_json() for each in current([*_read_older(folder), *old.values()])]
        )
        if len(text) > NOTE_BYTES:
            return
        write_whole(folder / OLDER, text)
        for path in old:
            path.unlink(missing_ok=True)


def current(notes: Iterable[Made]) -> list[Made]:
    """The notes without the dates that a newer one names; none that names no date then."""
    by_run = {note.run_id: note for note in notes}  # one may be merged, and still be there
    groups: dict[tuple[str, str], list[Made]] = {}
    for note in by_run.values():
        groups.setdefault((note.pipeline, note.warehouse_id or note.warehouse), []).append(note)
    return [left for group in groups.values() for left in _without_replaced(group)]


def _without_replaced(notes: list[Made]) -> Iterator[Made]:
    last = newest(notes)
    for note in notes:
        made = tuple(
            MadeBy(fingerprint=each.fingerprint, dates=dates)
            for each in note.made
            if (dates := _of(each, last, note.ended))
        )
        if made:
            yield note.model_copy(update={"made": made})


def _of(made: MadeBy, last: Newest, ended: float) -> dict[str, tuple[date, ...]]:
    """The dates that nothing made after a note that was written at `ended`."""
    left = {
        phase: tuple(day for day in days if last[phase, day][0] <= ended)
        for phase, days in made.dates.items()
    }
    return {phase: days for phase, days in left.items() if days}


def _notes(folder: Path) -> dict[Path, Made]:
    """The notes of single runs."""
    paths = sorted(path for path in folder.glob("*.json") if path.name != OLDER)
    return {path: note for path in paths for note in _read(path, _ONE)}


def _read_older(folder: Path) -> list[Made]:
    return _read(folder / OLDER, _MANY)


def _read(path: Path, kind: TypeAdapter[Any]) -> list[Made]:
    """The notes of a file; none when it is gone. Raises `FleetError` for a broken one."""
    try:
        found = kind.validate_json(read_capped(path, NOTE_BYTES))
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise FleetError(
            f"{path} cannot be read ({type(error).__name__}): it says what made the dates of a "
            "run. Restore it, or delete it: then these dates are unknown."
        ) from None
    return found if isinstance(found, list) else [found]


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
