"""Rows of the local warehouse that are told apart by a moment: replaced, deleted and put back."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from sql.errors import WarehouseRefused
from sql.keeping import Source, put_back, whole
from sql.local import LocalWarehouse
from sql.warehouse import Table

DAY, LAST = date(2024, 3, 2), date(2024, 3, 4)
NEXT = "DATE_ADD(@day, INTERVAL 1 DAY)"
FILL = """
INSERT INTO s.sales
SELECT TIMESTAMP(DATETIME_ADD(DATETIME(day), INTERVAL 690 MINUTE)) AS sold,
  DATETIME_ADD(DATETIME(day), INTERVAL 690 MINUTE) AS noted, n
FROM UNNEST(GENERATE_DATE_ARRAY('2024-03-01', @last)) AS day, UNNEST([1, 2]) AS n
"""
MERGE = """
MERGE s.sales USING (SELECT sold, noted, n + 10 AS n FROM s.sales WHERE {within}) ON FALSE
WHEN NOT MATCHED BY SOURCE AND {within} THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT ROW
"""
CONDITIONS = (
    f"sold >= TIMESTAMP(@day) AND sold < TIMESTAMP({NEXT})",
    f"sold >= TIMESTAMP(@day, 'America/New_York') AND sold < TIMESTAMP({NEXT}, 'Asia/Tokyo')",
    f"noted >= DATETIME(@day) AND noted < DATETIME({NEXT})",
    "sold BETWEEN TIMESTAMP '2024-03-02 00:00:00+00' AND TIMESTAMP '2024-03-02 23:59:59.999999+00'",
    "DATE(sold) = @day",
    "DATE(noted) IN (@day)",
)


@pytest.fixture(params=["", " PARTITION BY sold", " PARTITION BY noted"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LocalWarehouse]:
    """Four days of two sales each, half past eleven."""
    warehouse = LocalWarehouse(tmp_path)
    columns = "sold TIMESTAMP, noted DATETIME, n INT64"
    warehouse.run(f"CREATE TABLE s.sales ({columns}){request.param}", {})
    warehouse.run(FILL, {"last": LAST})
    yield warehouse
    warehouse.close()


def found(warehouse: LocalWarehouse) -> list[tuple[int, int]]:
    rows = warehouse.rows("SELECT EXTRACT(DAY FROM noted) AS day, n FROM s.sales", {})
    return sorted((row["day"], row["n"]) for row in rows)


@pytest.mark.parametrize("within", CONDITIONS)
def test_rows_of_a_day_are_replaced_and_deleted(warehouse: LocalWarehouse, within: str) -> None:
    warehouse.run(MERGE.format(within=within), {"day": DAY})
    kept = [(day, n) for day in (1, 3, 4) for n in (1, 2)]
    assert found(warehouse) == sorted([*kept, (2, 11), (2, 12)])

    warehouse.run(f"DELETE FROM s.sales WHERE {within}", {"day": DAY})
    assert found(warehouse) == kept


@pytest.mark.parametrize("column", ["sold", "noted"])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_rows_that_were_kept_are_put_back(
    warehouse: LocalWarehouse, column: str, zone: str
) -> None:
    table = warehouse.dated(whole(Table(name="s.sales", date=column, zone=zone)))
    before = found(warehouse)
    warehouse.run("CREATE TABLE s.kept (sold TIMESTAMP, noted DATETIME, n INT64)", {})
    warehouse.run("INSERT INTO s.kept SELECT sold, noted, n FROM s.sales", {})
    warehouse.run(MERGE.format(within=CONDITIONS[0]), {"day": DAY})
    assert found(warehouse) != before

    source = Source(table=replace(table, name="s.kept"), days=frozenset({DAY}))
    put_back(warehouse, table, [source], [DAY])
    assert found(warehouse) == before


def test_a_refusal_has_no_frames_of_a_library(warehouse: LocalWarehouse) -> None:
    with pytest.raises(WarehouseRefused) as refused:
        warehouse.run("DELETE FROM s.sales WHERE sold > n", {})
    assert " 0: " not in str(refused.value)
