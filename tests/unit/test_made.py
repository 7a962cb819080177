"""What made a date: how fingerprints are compared, and how notes are kept."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from planner.errors import FleetError
from planner.plan import made as notes
from planner.plan.made import Fingerprint, Made, MadeBy, differences, newest

DAY, NEXT = date(2024, 1, 1), date(2024, 1, 2)
USUAL = Fingerprint(runner="r", statements="s", code="git:1")


def note(run: str, ended: float, print_: Fingerprint, *days: date, pipeline: str = "mart") -> Made:
    made = (MadeBy(fingerprint=print_, dates={"daily": days}),)
    return Made(run_id=run, pipeline=pipeline, warehouse="local:w", ended=ended, made=made)


@pytest.mark.parametrize(
    ("then", "now", "found"),
    [
        ({}, {}, ()),
        ({"runner": "q"}, {}, ("runner",)),
        ({"statements": "q", "code": "git:2"}, {}, ("statements", "code")),
        ({"code": "git:2"}, {}, ("code",)),
        # What cannot be read is unknown, unless something else differs already
        ({"code": ""}, {}, None),
        ({}, {"code": ""}, None),
        ({"code": "", "runner": "q"}, {}, ("runner",)),
        # Read in another way: not to be compared
        ({"code": "files:1"}, {}, None),
        # A version that is declared decides alone; one that is declared no more does not
        ({"version": "2", "code": "git:2"}, {"version": "2"}, ()),
        ({"version": "2"}, {"version": "3"}, ("version",)),
        ({}, {"version": "1"}, ("version",)),
        ({"version": "2"}, {}, ()),
    ],
)
def test_what_differs(
    then: dict[str, str], now: dict[str, str], found: tuple[str, ...] | None
) -> None:
    assert differences(USUAL.model_copy(update=then), USUAL.model_copy(update=now)) == found


def test_the_newest_note_of_a_date_decides() -> None:
    other = USUAL.model_copy(update={"code": "git:2"})

    found = newest([note("b", 2.0, other, NEXT), note("a", 1.0, USUAL, DAY, NEXT)])

    assert found == {("daily", DAY): (1.0, USUAL), ("daily", NEXT): (2.0, other)}


def test_notes_are_read_as_they_were_written_and_those_of_others_are_not(tmp_path: Path) -> None:
    kept = note("a", 1.0, USUAL, DAY)
    notes.save(tmp_path, kept)
    notes.save(tmp_path, note("b", 1.0, USUAL, DAY, pipeline="other"))

    assert notes.read(tmp_path, pipeline="mart") == [kept]


def test_a_broken_note_is_named(tmp_path: Path) -> None:
    (tmp_path / "run-1.json").write_text("{")

    with pytest.raises(FleetError, match=r"run-1\.json cannot be read .*then these dates are unk"):
        notes.read(tmp_path, pipeline="mart")
