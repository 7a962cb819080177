"""What proves that rows of a date were written anew, in real Delta tables."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from sql.local import LocalWarehouse
from sql.warehouse import Table
from tests.integration.games import REPLACE

GAMES = Table(name="raw.games", date="game_date", entities={"game": "game_id"})
DAY, OTHER = date(2024, 1, 1), date(2024, 1, 2)


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[LocalWarehouse]:
    """Two dates, each of two appends."""
    warehouse = LocalWarehouse(tmp_path / "warehouse")
    warehouse.run(
        "CREATE TABLE raw.games (game_date DATE NOT NULL, game_id STRING, n INT64) "
        "PARTITION BY game_date",
        {},
    )
    for game in ("g1", "g2"):
        append(warehouse, DAY, game)
        append(warehouse, OTHER, game)
    yield warehouse
    warehouse.close()


def append(warehouse: LocalWarehouse, day: date, game: str) -> None:
    """As another job would."""
    rows = pa.table({"game_date": [day], "game_id": [game], "n": pa.array([1], pa.int64())})
    write_deltalake(place(warehouse), rows, mode="append")


def place(warehouse: LocalWarehouse) -> Path:
    return warehouse.folder / "raw" / "games"


def delta(warehouse: LocalWarehouse) -> DeltaTable:
    return DeltaTable(place(warehouse))


def marks(warehouse: LocalWarehouse, day: date = DAY) -> set[str]:
    found = warehouse.versions(GAMES, DAY, OTHER).get(day, ())
    assert list(found) == sorted(set(found))
    return set(found)


def written(warehouse: LocalWarehouse, day: date = DAY) -> datetime:
    records = warehouse.partitions([GAMES], DAY, OTHER)[GAMES.name].by_day
    assert records is not None
    return records[day].modified


def commit_time(warehouse: LocalWarehouse, version: int) -> datetime:
    log = place(warehouse) / "_delta_log" / f"{version:020}.json"
    actions = map(json.loads, log.read_text().splitlines())
    (info,) = [action["commitInfo"] for action in actions if "commitInfo" in action]
    return datetime.fromtimestamp(info["timestamp"] / 1000, UTC)


def forget_log(warehouse: LocalWarehouse) -> None:
    """A checkpoint, and every commit before it cleaned up, as Delta does after 30 days."""
    append(warehouse, OTHER, "later")
    delta(warehouse).create_checkpoint()
    for version in range(delta(warehouse).version()):
        (place(warehouse) / "_delta_log" / f"{version:020}.json").unlink(missing_ok=True)


REWRITES: dict[str, Callable[[DeltaTable], object]] = {
    "compaction": lambda table: table.optimize.compact(),
    "z-order": lambda table: table.optimize.z_order(["n"]),
    "both": lambda table: (table.optimize.compact(), table.optimize.z_order(["n"])),
}
rewrites = pytest.mark.parametrize("rewrite", REWRITES.values(), ids=list(REWRITES))


def test_every_append_is_a_mark_of_its_date(warehouse: LocalWarehouse) -> None:
    assert len(marks(warehouse, DAY)) == len(marks(warehouse, OTHER)) == 2
    assert not marks(warehouse, DAY) & marks(warehouse, OTHER)


def test_versions_are_of_the_dates_asked_for(warehouse: LocalWarehouse) -> None:
    assert list(warehouse.versions(GAMES, OTHER, date(2024, 2, 1))) == [OTHER]


@rewrites
def test_a_rewrite_of_files_is_not_anew(
    warehouse: LocalWarehouse, rewrite: Callable[[DeltaTable], object]
) -> None:
    # Given what the date is made of, and when its rows were written
    before, then = marks(warehouse), written(warehouse)

    # When another job rewrites the files
    rewrite(delta(warehouse))

    # Then every mark is still there, and the time has not moved
    assert len(delta(warehouse).file_uris()) == 2
    assert before <= marks(warehouse)
    assert written(warehouse) == then

    # And one who opens the warehouse only now is told the same
    fresh = LocalWarehouse(warehouse.folder)
    assert fresh.versions(GAMES, DAY, OTHER) == warehouse.versions(GAMES, DAY, OTHER)
    assert written(fresh) == then


@rewrites
def test_a_rewrite_of_files_mixes_no_partitions(
    warehouse: LocalWarehouse, rewrite: Callable[[DeltaTable], object]
) -> None:
    before = marks(warehouse, OTHER)
    rewrite(delta(warehouse))
    assert not before & marks(warehouse, DAY)


def test_a_foreign_append_leaves_the_old_marks(warehouse: LocalWarehouse) -> None:
    before, then = marks(warehouse), written(warehouse)
    append(warehouse, DAY, "g3")
    assert before < marks(warehouse)
    assert written(warehouse) > then
    assert written(warehouse) == commit_time(warehouse, delta(warehouse).version())


def test_an_overwrite_leaves_no_mark_of_its_date_alone(warehouse: LocalWarehouse) -> None:
    before, beside = marks(warehouse), marks(warehouse, OTHER)
    warehouse.run(REPLACE, {"day": DAY})
    assert marks(warehouse)
    assert not before & marks(warehouse)
    assert marks(warehouse, OTHER) == beside


@rewrites
def test_an_overwrite_after_a_rewrite_of_files_is_anew(
    warehouse: LocalWarehouse, rewrite: Callable[[DeltaTable], object]
) -> None:
    rewrite(delta(warehouse))
    before = marks(warehouse)
    warehouse.run(REPLACE, {"day": DAY})
    assert not before & marks(warehouse)


@rewrites
def test_an_overwrite_is_anew_although_its_files_were_rewritten(
    warehouse: LocalWarehouse, rewrite: Callable[[DeltaTable], object]
) -> None:
    before = marks(warehouse)
    warehouse.run(REPLACE, {"day": DAY})
    then = written(warehouse)
    append(warehouse, OTHER, "g3")
    rewrite(delta(warehouse))
    assert not before & marks(warehouse)
    assert written(warehouse) == then


def test_a_date_that_was_deleted_has_no_version(warehouse: LocalWarehouse) -> None:
    warehouse.run("DELETE FROM raw.games WHERE game_date = @day", {"day": DAY})
    assert list(warehouse.versions(GAMES, DAY, OTHER)) == [OTHER]


def test_rows_that_a_deletion_copied_are_anew(warehouse: LocalWarehouse) -> None:
    """It says that it changed data, and copies what it keeps into a new file."""
    delta(warehouse).optimize.compact()
    before = marks(warehouse)
    warehouse.run("DELETE FROM raw.games WHERE game_id = @game", {"game": "g1"})
    assert marks(warehouse)
    assert not before & marks(warehouse)


def test_a_version_that_was_restored_is_the_old_one(warehouse: LocalWarehouse) -> None:
    delta(warehouse).optimize.compact()
    before, version = marks(warehouse), delta(warehouse).version()
    warehouse.run(REPLACE, {"day": DAY})
    delta(warehouse).restore(version)
    assert marks(warehouse) == before


# -- the log is not always there ---------------------------------------------------------------


def test_a_checkpoint_changes_nothing(warehouse: LocalWarehouse) -> None:
    delta(warehouse).optimize.compact()
    before, then = marks(warehouse), written(warehouse)
    delta(warehouse).create_checkpoint()
    fresh = LocalWarehouse(warehouse.folder)
    assert (marks(fresh), written(fresh)) == (before, then)


@pytest.mark.parametrize("is_compact", [False, True])
def test_a_log_that_was_cleaned_up_makes_nothing_look_anew(
    warehouse: LocalWarehouse, is_compact: bool
) -> None:
    # Given marks that were noted while the whole log was there
    if is_compact:
        delta(warehouse).optimize.compact()
    before = marks(warehouse)

    # When commits are cleaned up, then one who knew them and one who comes later still see a mark
    forget_log(warehouse)
    fresh = LocalWarehouse(warehouse.folder)
    assert before & marks(warehouse)
    assert before & marks(fresh)

    # And when files that no commit tells of any more are rewritten, likewise
    append(warehouse, DAY, "g3")
    delta(warehouse).optimize.compact()
    assert before & marks(warehouse)
    assert before & marks(fresh)
    assert before & marks(LocalWarehouse(warehouse.folder))

    # And an overwrite is still told
    warehouse.run(REPLACE, {"day": DAY})
    assert not before & marks(LocalWarehouse(warehouse.folder))
    assert not before & marks(fresh)


def test_without_a_log_a_file_was_written_when_it_was_made(warehouse: LocalWarehouse) -> None:
    made = {
        action["path"]: action["modification_time"]
        for action in pa.table(delta(warehouse).get_add_actions()).to_pylist()
        if action["path"].startswith(f"game_date={DAY}")
    }
    forget_log(warehouse)
    assert written(LocalWarehouse(warehouse.folder)).timestamp() * 1000 == max(made.values())


def test_a_removal_may_not_say_of_which_partition(warehouse: LocalWarehouse) -> None:
    """`partitionValues` of a removal are optional [Delta protocol, "Add File and Remove File"]."""
    before = marks(warehouse)
    delta(warehouse).optimize.compact()
    log = place(warehouse) / "_delta_log" / f"{delta(warehouse).version():020}.json"
    actions = [json.loads(line) for line in log.read_text().splitlines()]
    for action in actions:
        if "remove" in action:
            del action["remove"]["partitionValues"], action["remove"]["extendedFileMetadata"]
    log.write_text("".join(json.dumps(action) + "\n" for action in actions))
    fresh = LocalWarehouse(warehouse.folder)
    assert before <= marks(fresh)
    assert not before & marks(fresh, OTHER)


# -- where no partition holds rows of one date --------------------------------------------------

DATES = [DAY, OTHER]
WHOLE = {
    "not partitioned": [],
    "by another column": ["side"],
    "by other columns": ["side", "n"],
}


def sides(warehouse: LocalWarehouse, partition_by: list[str]) -> DeltaTable:
    """A table of two dates, written anew."""
    folder = warehouse.folder / "raw" / "sides"
    rows = pa.table({"day": DATES, "side": ["a", "b"], "n": pa.array([1, 2], pa.int64())})
    write_deltalake(folder, rows, mode="overwrite", partition_by=partition_by)
    return DeltaTable(folder)


@pytest.mark.parametrize("partition_by", WHOLE.values(), ids=list(WHOLE))
def test_a_table_in_other_partitions_has_one_version(
    warehouse: LocalWarehouse, partition_by: list[str]
) -> None:
    # Given a table that is counted by another column than those of its partitions
    asked = Table(name="raw.sides", date="day", entities={"side": "side"})
    sides(warehouse, partition_by)
    cells = warehouse.coverage(asked, DAY, OTHER)
    assert {day: cell.rows for day, cell in cells.items()} == dict.fromkeys(DATES, 1)

    # Then its dates have one version, which a rewrite of files leaves as it is
    before = warehouse.versions(asked, DAY, OTHER)
    assert list(before) == DATES
    assert before[DAY] == before[OTHER]
    assert len(before[DAY]) == 1
    DeltaTable(warehouse.folder / "raw" / "sides").optimize.compact()
    assert warehouse.versions(asked, DAY, OTHER) == before
    assert LocalWarehouse(warehouse.folder).versions(asked, DAY, OTHER) == before

    # And every write gives another: of rows, and of none
    sides(warehouse, partition_by)
    after = warehouse.versions(asked, DAY, OTHER)
    assert after[DAY] != before[DAY]
    warehouse.run("DELETE FROM raw.sides WHERE side = 'a'", {})
    assert warehouse.versions(asked, DAY, DAY)[DAY] != after[DAY]


def test_an_empty_table_has_a_version(warehouse: LocalWarehouse) -> None:
    warehouse.run("CREATE TABLE raw.teams (team STRING, joined DATE)", {})
    asked = Table(name="raw.teams", date="joined")
    before = warehouse.versions(asked, DAY, DAY)
    warehouse.run("INSERT INTO raw.teams (team, joined) SELECT 'x', @day", {"day": DAY})
    assert before[DAY] != warehouse.versions(asked, DAY, DAY)[DAY]


def test_a_second_partition_column_is_no_hindrance(warehouse: LocalWarehouse) -> None:
    # Given a table by date and by a text whose path has to be encoded
    folder = warehouse.folder / "raw" / "sides"
    sides = Table(name="raw.sides", date="day")
    for n in range(2):
        for side in ("a b/ü%", "home"):
            rows = pa.table({"day": [DAY], "side": [side], "n": pa.array([n], pa.int64())})
            write_deltalake(folder, rows, mode="append", partition_by=["day", "side"])
    before = set(warehouse.versions(sides, DAY, DAY)[DAY])
    assert len(before) == 4

    # Then the records tell the rows of the date, over all sides
    found = warehouse.partitions([sides], DAY, DAY)[sides.name].by_day
    assert found is not None
    assert found[DAY].rows == 4

    # When it is compacted, then all marks are carried
    DeltaTable(folder).optimize.compact()
    after = set(warehouse.versions(sides, DAY, DAY)[DAY])
    assert before < after
    assert before < set(LocalWarehouse(warehouse.folder).versions(sides, DAY, DAY)[DAY])
