"""What a repair still owes: dates whose rows are there, but wrong since their upstream changed.

No count shows them, so they are written down, in `HOME/owed`, before a run is sent, and
crossed out when they were recomputed. They outlive Redis: when it is lost, the next plan
takes them all the same.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import date
from pathlib import Path

from planner.data import Data
from planner.errors import FleetError
from planner.files import MB, alone, read_capped, write_whole
from planner.pipeline.model import RunId

NOTE_BYTES = 16 * MB  # every date of every phase of 50 years is half of that


class Owed(Data):
    """What one run owes."""

    run_id: RunId
    pipeline: str
    warehouse: str
    warehouse_id: str = ""
    """What tells the warehouse apart, however it is spelt; empty in notes of 0.1."""
    dates: dict[str, set[date]]
    """Phase → dates to recompute."""

    def without(self, done: Collection[tuple[str, date]]) -> Owed:
        """What is left when some phases and dates were recomputed."""
        left = {
            phase: {day for day in days if (phase, day) not in done}
            for phase, days in self.dates.items()
        }
        return self.model_copy(
            update={"dates": {phase: days for phase, days in left.items() if days}}
        )


def save(folder: Path, owed: Owed) -> None:
    """Write down what a run owes; nothing left removes the file."""
    path = folder / f"{owed.run_id}.json"
    if not owed.dates:
        path.unlink(missing_ok=True)
        return
    content = owed.model_dump(mode="json")
    content["dates"] = {phase: sorted(days) for phase, days in content["dates"].items()}
    write_whole(path, json.dumps(content, indent=1))


def read(folder: Path, *, pipeline: str) -> list[Owed]:
    """What every run of a pipeline still owes, on any warehouse.

    Raises `FleetError` for a broken file.
    """
    found = (_read(path) for path in sorted(folder.glob("*.json")))
    return [owed for owed in found if owed is not None and owed.pipeline == pipeline]


def cross_out(folder: Path, run_id: str, done: Collection[tuple[str, date]]) -> None:
    """Cross out what was recomputed in a run's note, if the note is on this machine.

    Safe for a planner and workers at once: a file lock makes each see what the others crossed out.
    """
    with alone(folder):
        owed = _read(folder / f"{run_id}.json")
        if owed is not None:
            save(folder, owed.without(done))


def _read(path: Path) -> Owed | None:
    """A note; None when its run owes nothing any more. Raises `FleetError` for a broken one."""
    try:
        return Owed.model_validate_json(read_capped(path, NOTE_BYTES))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise FleetError(
            f"{path} cannot be read ({type(error).__name__}): it says which dates a run still "
            "owes. Restore it, or delete it and repair its dates with --phases and --start."
        ) from None


def merged(all_owed: Collection[Owed]) -> Mapping[str, set[date]]:
    """Phase → dates that any run owes."""
    dates: dict[str, set[date]] = {}
    for owed in all_owed:
        for phase, days in owed.dates.items():
            dates.setdefault(phase, set()).update(days)
    return dates
