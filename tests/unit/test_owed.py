"""What a repair still owes outlives everything but its file."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from planner.errors import FleetError
from planner.files import write_whole
from planner.plan import owed as notes
from planner.plan.owed import Owed, merged
from tests.unit.examples import day, days

NOTE = Owed(
    run_id="run-1",
    pipeline="shop",
    warehouse="local:w",
    dates={"clean": {day(1), day(2)}, "report": {day(2)}},
)


def read(folder: Path, *, pipeline: str = "shop") -> list[Owed]:
    return notes.read(folder, pipeline=pipeline)


def test_a_note_is_read_as_it_was_written(tmp_path: Path) -> None:
    notes.save(tmp_path / "owed", NOTE)

    assert read(tmp_path / "owed") == [NOTE]


def test_a_folder_that_is_not_there_holds_no_notes(tmp_path: Path) -> None:
    assert read(tmp_path / "owed") == []


def test_notes_are_of_one_pipeline(tmp_path: Path) -> None:
    notes.save(tmp_path, NOTE)

    assert read(tmp_path, pipeline="other") == []


def test_what_was_recomputed_is_crossed_out() -> None:
    left = NOTE.without({("clean", day(1)), ("report", day(2)), ("report", day(9))})

    assert left.dates == {"clean": {day(2)}}
    assert NOTE.dates["clean"] == {day(1), day(2)}


def test_a_note_of_nothing_is_removed(tmp_path: Path) -> None:
    notes.save(tmp_path, NOTE)

    for _ in range(2):
        notes.save(tmp_path, NOTE.model_copy(update={"dates": {}}))

    assert list(tmp_path.iterdir()) == []


def test_notes_of_several_runs_are_taken_together(tmp_path: Path) -> None:
    notes.save(tmp_path, NOTE)
    notes.save(tmp_path, NOTE.model_copy(update={"run_id": "run-2", "dates": {"clean": {day(7)}}}))

    assert merged(read(tmp_path)) == {"clean": {day(1), day(2), day(7)}, "report": {day(2)}}
    assert merged([]) == {}


def test_what_several_processes_cross_out_at_once_stays_crossed_out(tmp_path: Path) -> None:
    # Given a note of many dates
    wanted = days(0, 39)
    notes.save(tmp_path, NOTE.model_copy(update={"dates": {"clean": set(wanted)}}))

    # When many cross out one each, all but the last
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda each: notes.cross_out(tmp_path, "run-1", {("clean", each)}), wanted[:-1]
            )
        )

    # Then none was written back by another
    assert merged(read(tmp_path)) == {"clean": {wanted[-1]}}


def test_a_note_that_is_not_here_is_crossed_out_elsewhere(tmp_path: Path) -> None:
    notes.cross_out(tmp_path, "run-9", {("clean", day(1))})

    assert read(tmp_path) == []


@pytest.mark.parametrize(
    "broken",
    [b"", b"{", b"[]", b"\xff\xfe", b'{"run_id": 1}', b'{"run_id": "r", "dates": {"a": ["x"]}}'],
)
def test_a_broken_note_stops_everything_and_says_what_to_do(tmp_path: Path, broken: bytes) -> None:
    """Going on without it would forget dates that are wrong."""
    notes.save(tmp_path, NOTE)
    (tmp_path / "run-2.json").write_bytes(broken)

    with pytest.raises(FleetError, match=r"run-2\.json cannot be read .* Restore it, or delete"):
        read(tmp_path)


def test_a_note_that_is_crossed_out_while_it_is_read_is_no_longer_owed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given another process that removes one of two notes between the listing and the reading
    notes.save(tmp_path, NOTE)
    notes.save(tmp_path, NOTE.model_copy(update={"run_id": "run-2"}))
    listed = sorted(tmp_path.glob("*.json"))
    monkeypatch.setattr(Path, "glob", lambda *_: listed)
    listed[0].unlink()

    assert [note.run_id for note in read(tmp_path)] == ["run-2"]


def test_nobody_sees_half_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a disk that fills up in the middle of writing over a note
    path = tmp_path / "note.json"
    write_whole(path, "before")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("planner.files.os.fsync", full)

    # When it is written again
    with pytest.raises(OSError, match="No space"):
        write_whole(path, "after")

    # Then the old one is there, and nothing else
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_dates_are_written_in_order_so_that_people_can_compare_files(tmp_path: Path) -> None:
    notes.save(tmp_path, NOTE.model_copy(update={"dates": {"clean": set(days(0, 9))}}))

    text = (tmp_path / "run-1.json").read_text()

    positions = [text.index(str(each)) for each in days(0, 9)]
    assert positions == sorted(positions)
