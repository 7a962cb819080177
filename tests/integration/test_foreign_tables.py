"""Delta tables that other engines wrote: counted as they mean them, or refused by name."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from sql.errors import TableNotFound, WarehouseError, WarehouseRefused
from sql.local import LocalWarehouse
from sql.warehouse import Condition, Table
from tests.integration.foreign import Foreign, column

DOCS = Path(__file__).parents[2] / "docs/operations.md"
DAY, OTHER = date(2024, 1, 1), date(2024, 1, 2)
GAMES = Table(name="raw.games", date="day", entities={"game": "game"})
COLUMNS = [column("day", "date"), column("game", "string")]


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[LocalWarehouse]:
    (tmp_path / "raw").mkdir()
    warehouse = LocalWarehouse(tmp_path)
    yield warehouse
    warehouse.close()


def place(warehouse: LocalWarehouse) -> Path:
    return warehouse.folder / "raw" / "games"


def games(*names: str, **others: list[object]) -> pa.Table:
    return pa.table({"game": list(names), **others})


def counted(warehouse: LocalWarehouse, table: Table = GAMES) -> dict[date, tuple[int, int]]:
    found = warehouse.coverage(table, DAY, OTHER)
    return {day: (cell.rows, cell.entities["game"]) for day, cell in found.items()}


@pytest.mark.parametrize("kept_in", ["inline", "beside"])
def test_rows_that_a_deletion_vector_deletes_are_not_counted(
    warehouse: LocalWarehouse, kept_in: str
) -> None:
    table = Foreign(
        place(warehouse),
        COLUMNS,
        ["day"],
        ["deletionVectors"],
        {"delta.enableDeletionVectors": "true"},
    )
    first = table.file("day=2024-01-01/a.parquet", games("g1", "g2", "g3", "g4"))
    other = table.file("day=2024-01-02/b.parquet", games("g5"))
    table.add(first, {"day": "2024-01-01"}, 4)
    table.add(other, {"day": "2024-01-02"}, 1)
    assert counted(warehouse) == {DAY: (4, 4), OTHER: (1, 1)}

    table.add(first, {"day": "2024-01-01"}, 4, getattr(table, kept_in)([0, 2]))

    assert counted(warehouse) == {DAY: (2, 2), OTHER: (1, 1)}
    assert counted(LocalWarehouse(warehouse.folder)) == {DAY: (2, 2), OTHER: (1, 1)}
    (ids,) = warehouse.rows("SELECT STRING_AGG(game ORDER BY game) AS ids FROM raw.games", {})
    assert ids["ids"] == "g2,g4,g5"
    # The log's numbers of rows are those of the files: nothing rests on them.
    assert warehouse.partitions([GAMES], DAY, OTHER)["raw.games"].by_day is None
    assert list(warehouse.versions(GAMES, DAY, OTHER)) == [DAY, OTHER]


def test_a_date_whose_rows_are_all_deleted_holds_none(warehouse: LocalWarehouse) -> None:
    table = Foreign(place(warehouse), COLUMNS, ["day"], ["deletionVectors"])
    path = table.file("day=2024-01-01/a.parquet", games("g1", "g2"))
    table.add(path, {"day": "2024-01-01"}, 2, table.inline([0, 1]))
    assert counted(warehouse) == {}


def test_a_deletion_vector_that_is_gone_is_an_error(warehouse: LocalWarehouse) -> None:
    table = Foreign(place(warehouse), COLUMNS, ["day"], ["deletionVectors"])
    path = table.file("day=2024-01-01/a.parquet", games("g1", "g2"))
    table.add(path, {"day": "2024-01-01"}, 2, table.beside([0]))
    next(place(warehouse).glob("*.bin")).unlink()
    with pytest.raises(WarehouseError, match=r"raw\.games"):
        counted(warehouse)


@pytest.mark.parametrize("mode", ["name", "id"])
def test_columns_that_are_called_otherwise_in_files_are_found(
    warehouse: LocalWarehouse, mode: str
) -> None:
    def mapped(name: str, kind: str, number: int) -> dict[str, object]:
        told = {
            "delta.columnMapping.id": number,
            "delta.columnMapping.physicalName": f"col-{number}",
        }
        return column(name, kind, **told)

    table = Foreign(
        place(warehouse),
        [mapped("day", "date", 1), mapped("game", "string", 2)],
        ["day"],
        ["columnMapping"],
        {"delta.columnMapping.mode": mode, "delta.columnMapping.maxColumnId": "2"},
    )
    field = pa.field("col-2", pa.string(), metadata={"PARQUET:field_id": "2"})
    rows = pa.table([["g1", "g2", "g2"]], schema=pa.schema([field]))
    table.add(table.file("xY/a.parquet", rows), {"col-1": "2024-01-01"}, 3)

    assert counted(warehouse) == {DAY: (3, 2)}
    assert list(warehouse.versions(GAMES, DAY, OTHER)) == [DAY]
    found = warehouse.partitions([GAMES], DAY, OTHER)["raw.games"].by_day
    assert found is not None
    assert found[DAY].rows == 3


def test_a_partition_is_what_the_log_says_and_not_the_path(warehouse: LocalWarehouse) -> None:
    table = Foreign(place(warehouse), COLUMNS, ["day"])
    table.add(table.file("part-1.parquet", games("g1")), {"day": "2024-01-01"}, 1)
    table.add(table.file("day=2024-01-01/b.parquet", games("g2")), {"day": "2024-01-02"}, 1)
    table.add(table.file("part-3.parquet", games("g3")), {"day": None}, 1)
    assert counted(warehouse) == {DAY: (1, 1), OTHER: (1, 1)}
    assert warehouse.partitions([GAMES], DAY, OTHER)["raw.games"].undated == 1


def test_files_older_than_a_column_hold_null_in_it(warehouse: LocalWarehouse) -> None:
    table = Foreign(place(warehouse), COLUMNS, ["day"])
    table.add(table.file("a.parquet", games("g1", "g2")), {"day": "2024-01-01"}, 2)
    table.add_column(**column("team", "string"))
    table.add(table.file("b.parquet", games("g3", team=["x"])), {"day": "2024-01-02"}, 1)

    assert counted(warehouse) == {DAY: (2, 2), OTHER: (1, 1)}
    asked = Table(name="raw.games", date="day", entities={"game": "team"}, filled=("team",))
    found = warehouse.coverage(asked, DAY, OTHER)
    assert [(cell.rows, cell.filled["team"]) for cell in found.values()] == [(2, 0), (1, 1)]
    where = Table(
        name="raw.games",
        date="day",
        entities={"game": "game"},
        where={"team": Condition(null=True)},
    )
    assert counted(warehouse, where) == {DAY: (2, 2)}
    assert [row["team"] for row in warehouse.rows("SELECT * FROM raw.games ORDER BY game", {})] == [
        None,
        None,
        "x",
    ]


@pytest.mark.parametrize("feature", ["typeWidening", "of-tomorrow"])
def test_what_cannot_be_honoured_is_refused_by_name(
    warehouse: LocalWarehouse, feature: str
) -> None:
    table = Foreign(place(warehouse), COLUMNS, ["day"], [feature])
    table.add(table.file("a.parquet", games("g1")), {"day": "2024-01-01"}, 1)
    with pytest.raises(WarehouseRefused, match=r"raw\.games was written with .*drop the feature"):
        counted(warehouse)


@pytest.mark.parametrize("versions", [1, 3])
def test_a_table_that_was_made_anew_is_seen_by_who_holds_it_open(
    warehouse: LocalWarehouse, versions: int
) -> None:
    # Given a table that is open at its second version
    table = Foreign(place(warehouse), COLUMNS, ["day"])
    table.add(table.file("a.parquet", games("g1", "g2")), {"day": "2024-01-01"}, 2)
    assert counted(warehouse) == {DAY: (2, 2)}
    before = warehouse.versions(GAMES, DAY, DAY)

    # When it is removed, then it is not there
    shutil.rmtree(place(warehouse))
    with pytest.raises(TableNotFound):
        counted(warehouse)

    # And when another stands in its place, with fewer versions or more, that is counted
    anew = Foreign(place(warehouse), [*COLUMNS, column("team", "string")], ["day"])
    for n in range(versions):
        path = anew.file(f"new-{n}.parquet", games(f"new-{n}", team=["x"]))
        anew.add(path, {"day": "2024-01-02"}, 1)
    assert counted(warehouse) == {OTHER: (versions, versions)}
    assert "team" in warehouse.columns("raw.games")
    assert not set(before[DAY]) & set(warehouse.versions(GAMES, DAY, OTHER)[OTHER])


@pytest.mark.parametrize("versions", [1, 3])
def test_a_table_that_was_replaced_between_two_looks_is_the_new_one(
    warehouse: LocalWarehouse, versions: int
) -> None:
    """Nothing was asked while it was away, and its log is as long as it was, or longer."""
    table = Foreign(place(warehouse), COLUMNS, ["day"])
    table.add(table.file("a.parquet", games("g1", "g2")), {"day": "2024-01-01"}, 2)
    assert counted(warehouse) == {DAY: (2, 2)}
    shutil.rmtree(place(warehouse))
    anew = Foreign(place(warehouse), COLUMNS, ["day"])
    for n in range(versions):
        anew.add(anew.file(f"new-{n}.parquet", games(f"g{n}")), {"day": "2024-01-02"}, 1)
    assert counted(warehouse) == {OTHER: (versions, versions)}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_the_documented_table_of_ones_own_is_counted(
    warehouse: LocalWarehouse, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    # Given the lines of the documentation, and a file to make a table from
    monkeypatch.chdir(warehouse.folder)
    Path("games.csv").write_text("day,game\n2024-01-01,g1\n2024-01-01,g2\n2024-01-02,g3\n")
    parquet.write_table(csv.read_csv("games.csv"), "games.parquet")
    section = DOCS.read_text(encoding="utf-8").partition("## A local table of one's own")[2]
    lines = section.partition("```python\n")[2].partition("```")[0].replace('"DIR/', '"')
    assert len(lines.splitlines()) <= 10
    if kind == "parquet":
        for told, other in re.findall(r"^(.*?)  # or: (.*)$", lines, re.MULTILINE):
            name, is_value, _ = told.partition(" = ")
            other = f"{name} = {other}" if is_value else other
            lines = lines.replace(told, other)

    exec(lines, {})  # as a reader would

    assert counted(warehouse) == {DAY: (2, 2), OTHER: (1, 1)}
    assert warehouse.partitioning("raw.games").column == "day"
