"""What the local warehouse reads for an answer: counted in files and openings, not in time."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from sql import delta_folder
from sql.errors import WarehouseUnreachable
from sql.local import LocalWarehouse
from sql.warehouse import Table, Warehouse
from tests.integration.games import REPLACE

DAYS = [date(2024, 1, 1) + timedelta(days=n) for n in range(60)]
GAMES = Table(name="raw.games", date="day", entities={"game": "game"})
DAY = DAYS[30]
REPLACED = REPLACE.replace("game_date", "day")


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[LocalWarehouse]:
    rows = pa.table({"day": DAYS, "game": ["g"] * len(DAYS), "n": pa.array(range(len(DAYS)))})
    write_deltalake(tmp_path / "raw" / "games", rows, partition_by=["day"])
    warehouse = LocalWarehouse(tmp_path)
    yield warehouse
    warehouse.close()


def files(warehouse: Warehouse, but: date) -> list[Path]:
    """The files of all other dates."""
    folder = Path(warehouse.name.removeprefix("local:")) / "raw" / "games"
    return [path for path in folder.rglob("*.parquet") if f"day={but}" not in path.parts[-2]]


def rows_on(warehouse: Warehouse, table: Table, day: date) -> int:
    return warehouse.coverage(table, day, day)[day].rows


def test_one_date_is_counted_by_its_own_files_alone(warehouse: LocalWarehouse) -> None:
    """Those of the others are not even there."""
    for path in files(warehouse, DAY):
        path.unlink()
    assert rows_on(warehouse, GAMES, DAY) == 1
    warehouse.run(REPLACED, {"day": DAY})
    assert rows_on(warehouse, GAMES, DAY) == 1
    asked = "SELECT COUNT(*) AS n FROM raw.games AS g WHERE g.day IN UNNEST(@days)"
    assert list(warehouse.rows(asked, {"days": [DAY]})) == [{"n": 1}]


def test_a_date_without_rows_does_not_hide_that_nothing_can_be_read(
    warehouse: LocalWarehouse,
) -> None:
    for path in files(warehouse, date.max):
        path.unlink()
    with pytest.raises(WarehouseUnreachable, match=r"raw\.games"):
        warehouse.coverage(GAMES, date(2030, 1, 1), date(2030, 1, 1))


def test_one_shard_is_counted_by_its_own_files_alone(tmp_path: Path) -> None:
    warehouse = LocalWarehouse(tmp_path)
    for day in DAYS[:3]:
        rows = pa.table({"game": ["g", "h"]})
        write_deltalake(tmp_path / "raw" / f"events_{day:%Y%m%d}", rows)
    for path in (tmp_path / "raw" / f"events_{DAYS[0]:%Y%m%d}").glob("*.parquet"):
        path.unlink()
    events = Table(name="raw.events_*", date="_TABLE_SUFFIX", entities={"game": "game"})
    assert rows_on(warehouse, events, DAYS[1]) == 2
    with pytest.raises(WarehouseUnreachable):
        rows_on(warehouse, events, DAYS[0])


@pytest.mark.parametrize(
    "condition",
    [
        "{day} BETWEEN @day AND @day OR n = 1",
        "{day} <= @day",
        "{day} < CURRENT_DATE()",
        "NOT {day} = @day",
        "{day} IN UNNEST([@day, DATE '2024-01-05'])",
        "{day} = DATE_SUB(@day, INTERVAL 1 DAY) AND n < 40",
        "@day >= {day} AND {day} > DATE '2024-01-05'",
        "{day} = @day AND n = 1.0 * n",
    ],
)
def test_what_is_left_out_changes_no_answer(warehouse: LocalWarehouse, condition: str) -> None:
    """The same rows by a condition that limits nothing, since its column is computed."""
    asked = f"SELECT n FROM raw.games WHERE {condition} ORDER BY n"
    found = warehouse.rows(asked.format(day="day"), {"day": DAY})
    computed = asked.format(day="DATE_ADD(day, INTERVAL 0 DAY)")
    assert found == warehouse.rows(computed, {"day": DAY})
    assert found


def test_joins_and_unions_keep_the_rows_that_they_need(warehouse: LocalWarehouse) -> None:
    values = {"day": DAY}
    asked = (
        "SELECT COUNT(*) AS n, COUNT(b.n) AS found FROM raw.games AS a "
        "LEFT JOIN raw.games AS b ON a.n = b.n AND b.day = @day WHERE a.day <= @day"
    )
    assert list(warehouse.rows(asked, values)) == [{"n": 31, "found": 1}]
    asked = "SELECT n FROM raw.games WHERE day = @day UNION ALL SELECT COUNT(*) FROM raw.games"
    assert sorted(row["n"] for row in warehouse.rows(asked, values)) == [30, 60]
    asked = "SELECT COUNT(*) AS n FROM (SELECT * FROM raw.games) WHERE day = @day"
    assert list(warehouse.rows(asked, values)) == [{"n": 1}]
    asked = "SELECT ANY_VALUE(TO_JSON_STRING(g)) AS row FROM raw.games AS g WHERE day = @day"
    assert '"game"' in warehouse.rows(asked, values)[0]["row"]


def test_a_table_is_opened_once_however_often_it_is_asked(
    warehouse: LocalWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: Counter[str] = Counter()

    class Counted(DeltaTable):
        def __init__(self, *args: Any, **options: Any) -> None:
            counts["opened"] += 1
            super().__init__(*args, **options)

        def update_incremental(self) -> None:
            counts["followed"] += 1
            super().update_incremental()

    monkeypatch.setattr(delta_folder, "DeltaTable", Counted)

    # What a step asks: before it writes, its write, and its recount
    for _ in range(3):
        warehouse.versions(GAMES, DAY, DAY)
        rows_on(warehouse, GAMES, DAY)
        warehouse.run(REPLACED, {"day": DAY})
        rows_on(warehouse, GAMES, DAY)
        warehouse.versions(GAMES, DAY, DAY)
    assert counts["opened"] == 1
    assert counts["followed"] <= 3  # by deltalake itself, after each of its writes

    # And another's commit is followed once
    counts.clear()
    other = pa.table({"day": [DAY], "game": ["new"], "n": pa.array([99])})
    write_deltalake(warehouse.folder / "raw" / "games", other, mode="append")
    assert rows_on(warehouse, GAMES, DAY) == rows_on(warehouse, GAMES, DAY) == 2
    assert counts == {"followed": 1}
