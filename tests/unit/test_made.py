"""What made a date: how fingerprints are compared, and how notes are kept."""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import FleetError
from planner.plan import made as notes
from planner.plan.made import Fingerprint, Made, MadeBy, current, differences, newest

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


DAYS = [date(2024, 1, n) for n in range(1, 5)]
LATER = 1000 * 86_400.0
"""Now, in the tests of what is merged; in seconds since the epoch."""


@given(
    ages=st.lists(
        st.tuples(st.integers(0, 300), st.sets(st.sampled_from(DAYS), min_size=1)),
        min_size=1,
        max_size=12,
    ),
    turns=st.integers(1, 3),
)
def test_merging_loses_no_fingerprint_that_can_be_asked_for(
    ages: list[tuple[int, set[date]]], turns: int
) -> None:
    # Given notes of runs that ended so many days ago, each with a fingerprint of its own
    before = [
        note(
            f"run-{number}",
            LATER - age * 86_400.0 + number,
            USUAL.model_copy(update={"code": f"git:{number}"}),
            *sorted(days),
        )
        for number, (age, days) in enumerate(ages)
    ]

    # When those of long ago are merged, and again on later days
    after, limit = before, 0.0
    for turn in range(turns):
        limit = LATER + turn * 86_400.0 - notes.LIFE_SECONDS
        old = [each for each in after if each.ended < limit]
        after = [*current(old), *(each for each in after if each.ended >= limit)]

    # Then what made a date is the same, now and as of any run that can be restored
    for moment in (math.inf, *(each.ended for each in before if each.ended >= limit), limit):
        assert newest(each for each in after if each.ended < moment) == newest(
            each for each in before if each.ended < moment
        )
    # And of long ago no date is there twice
    old = [each for each in after if each.ended < limit]
    named = [day for each in old for part in each.made for day in part.dates["daily"]]
    assert len(named) == len(set(named))


def test_many_notes_of_long_ago_are_one_file_and_those_of_others_are_apart(tmp_path: Path) -> None:
    for number in range(30):
        pipeline = "mart" if number % 2 else "other"
        notes.save(tmp_path, note(f"run-{number}", float(number), USUAL, DAY, pipeline=pipeline))
    notes.save(tmp_path, note("run-new", LATER, USUAL, NEXT))

    notes.merge_older(tmp_path, now=LATER)

    assert sorted(path.name for path in tmp_path.glob("*.json")) == ["_older.json", "run-new.json"]
    assert newest(notes.read(tmp_path, pipeline="mart")) == {
        ("daily", DAY): (29.0, USUAL),
        ("daily", NEXT): (LATER, USUAL),
    }
    assert newest(notes.read(tmp_path, pipeline="other")) == {("daily", DAY): (28.0, USUAL)}


def test_a_broken_note_is_not_merged_away(tmp_path: Path) -> None:
    for number in range(30):
        notes.save(tmp_path, note(f"run-{number}", float(number), USUAL, DAY))
    (tmp_path / "run-3.json").write_text("{")

    with pytest.raises(FleetError, match=r"run-3\.json cannot be read"):
        notes.merge_older(tmp_path, now=LATER)

    assert len(list(tmp_path.glob("run-*.json"))) == 30
