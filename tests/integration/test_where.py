"""Rows that count: every condition, over columns with NULLs, in both warehouses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from planner.pipeline.pipeline import Pipeline
from planner.pipeline.windows import Window
from planner.validation.queries import printed, query_of
from sql.bigquery import BigQueryWarehouse
from sql.coverage import coverage_query
from sql.local import LocalWarehouse
from sql.warehouse import GradeColumns, Table
from tests.analyzer import analyze
from tests.bigquery_server.rest import BigQueryServer
from tests.unit import examples as eg

DAY, OTHER = eg.day(0), eg.day(1)
COLUMNS = {
    "day": "DATE",
    "order_id": "STRING",
    "item_id": "STRING",
    "status": "INT64",
    "note": "STRING",
    "share": "FLOAT64",
    "price": "NUMERIC",
    "is_voided": "BOOL",
    "shipped": "DATE",
}
_ARROW = {
    "DATE": pa.date32(),
    "STRING": pa.string(),
    "INT64": pa.int64(),
    "FLOAT64": pa.float64(),
    "NUMERIC": pa.decimal128(38, 9),
    "BOOL": pa.bool_(),
}
VALUES: dict[str, list[Any]] = {
    "status": [1, 2, 3, None],
    "note": ["a", "b'; DROP TABLE x; --", "@start_date", None],
    "share": [0.5, 1.0, 2.5, None],
    "price": [Decimal("1.5"), Decimal(2), Decimal(3), None],
    "is_voided": [True, False, None, None],
    "shipped": [DAY, OTHER, date(2024, 2, 29), None],
}
ROWS = [
    {
        "day": day,
        "order_id": f"o{n}",
        "item_id": f"i{n}",
        **{column: values[n] for column, values in VALUES.items()},
    }
    for day in (DAY, OTHER)
    for n in range(4)
]

Holds = Callable[[Any], bool]
CASES: list[tuple[str, Any, Holds]] = [
    ("status", 3, lambda v: v == 3),
    ("note", VALUES["note"][1], lambda v: v == VALUES["note"][1]),
    ("is_voided", False, lambda v: v is False),
    ("shipped", OTHER, lambda v: v == OTHER),
    ("status", {"in": [1, 3]}, lambda v: v in (1, 3)),
    ("status", {"in": [3]}, lambda v: v == 3),
    ("note", {"in": VALUES["note"][:2]}, lambda v: v in VALUES["note"][:2]),
    ("share", {"in": [0.5, 2.5]}, lambda v: v in (0.5, 2.5)),
    ("price", {"in": [2, 3]}, lambda v: v in (2, 3)),
    ("price", {"in": [1.5, 3.0]}, lambda v: v in (Decimal("1.5"), 3)),
    ("is_voided", {"in": [True, False]}, lambda v: v is not None),
    ("shipped", {"in": [DAY, OTHER]}, lambda v: v in (DAY, OTHER)),
    ("is_voided", {"not": True}, lambda v: v is not True),
    ("status", {"not": 2}, lambda v: v != 2),
    ("note", {"not": "@start_date"}, lambda v: v != "@start_date"),
    ("price", {"not": 1.5}, lambda v: v != Decimal("1.5")),
    ("shipped", {"not": DAY}, lambda v: v != DAY),
    ("status", {"not": [1, 2]}, lambda v: v not in (1, 2)),
    ("note", {"not": ["a", "x"]}, lambda v: v != "a"),
    ("is_voided", {"not": [True, False]}, lambda v: v is None),
    ("shipped", {"not": [DAY, OTHER]}, lambda v: v not in (DAY, OTHER)),
    ("status", {"null": True}, lambda v: v is None),
    ("is_voided", {"null": False}, lambda v: v is not None),
]
case = pytest.mark.parametrize(("column", "condition", "holds"), CASES)

pytestmark = pytest.mark.xdist_group("analyzer")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("where")
    schema = pa.schema([(column, _ARROW[kind]) for column, kind in COLUMNS.items()])
    for name in ("raw", "clean"):
        rows = pa.Table.from_pylist(ROWS, schema)
        write_deltalake(folder / "shop" / name, rows, partition_by=["day"])
    return folder


@pytest.fixture(scope="module")
def local(folder: Path) -> Iterator[LocalWarehouse]:
    warehouse = LocalWarehouse(folder)
    yield warehouse
    warehouse.close()


def pipeline(where: Mapping[str, Any], **options: Any) -> Pipeline:
    return eg.pipeline(
        eg.phase("raw", tables=[eg.table("raw", where=where, **options)]), eg.phase("clean", "raw")
    )


def table(where: Mapping[str, Any]) -> Table:
    return pipeline(where).tables[0].table


def kept(column: str, holds: Holds) -> dict[date, int]:
    counted = {
        day: sum(holds(row[column]) for row in ROWS if row["day"] == day) for day in (DAY, OTHER)
    }
    return {day: rows for day, rows in counted.items() if rows}


@case
def test_rows_that_count(local: LocalWarehouse, column: str, condition: Any, holds: Holds) -> None:
    found = local.coverage(table({column: condition}), DAY, OTHER)

    assert {day: cell.rows for day, cell in found.items()} == kept(column, holds)
    assert all(cell.entities["order"] == cell.rows for cell in found.values())


@case
def test_googles_analyzer_accepts_a_condition(column: str, condition: Any, holds: Holds) -> None:
    asked = table({column: condition})
    analyze({"shop.raw": COLUMNS}, *coverage_query(asked, DAY, OTHER))


@case
def test_no_value_is_pasted(column: str, condition: Any, holds: Holds) -> None:
    statement, parameters = coverage_query(table({column: condition}), DAY, OTHER)
    assert "DROP" not in statement
    has_value = not (isinstance(condition, dict) and "null" in condition)
    assert set(parameters) - {"start_date", "end_date"} == ({"filter_0"} if has_value else set())
    assert all(f"@{name}" in statement for name in parameters)


def test_bigquery_counts_the_same(
    local: LocalWarehouse, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with BigQueryServer(folder) as server:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.url)
        bigquery = BigQueryWarehouse("shop-project")
        for column, condition, _ in CASES:
            asked = table({column: condition})
            assert bigquery.coverage(asked, DAY, OTHER) == local.coverage(asked, DAY, OTHER)
        bigquery.close()


def test_several_columns_have_to_hold_all(local: LocalWarehouse) -> None:
    asked = table(
        {"status": {"in": [1, 2, 3]}, "is_voided": {"not": True}, "note": {"null": False}}
    )
    found = local.coverage(asked, DAY, OTHER)
    assert {day: cell.rows for day, cell in found.items()} == {DAY: 2, OTHER: 2}


def test_grades_are_of_the_rows_that_count(local: LocalWarehouse) -> None:
    asked = Table(
        name="shop.raw",
        date="day",
        where=table({"is_voided": {"not": True}, "status": {"not": [7, 8]}}).where,
        grades=GradeColumns(system="note", error="share", correct="is_voided"),
    )
    analyze({"shop.raw": COLUMNS}, *coverage_query(asked, DAY, OTHER))
    assert [cell.rows for cell in local.coverage(asked, DAY, OTHER).values()] == [3, 3]


def test_a_question_is_of_the_rows_that_count(local: LocalWarehouse) -> None:
    # Given a condition of every kind
    where = {
        "status": {"in": [1, 2, 3]},
        "is_voided": {"not": True},
        "note": {"not": ["x", "a"]},
        "share": {"null": False},
        "shipped": date(2024, 2, 29),
    }
    of = pipeline(where)

    # When a question is asked in SQL, then BigQuery would take it, and one row a date counts
    asked = query_of(of, "counts", Window(start=DAY, end=OTHER))
    analyze({"shop.raw": COLUMNS, "shop.clean": COLUMNS}, *asked)
    (raw, _) = local.rows(*asked)
    assert raw["row_count"] == 2


def test_a_list_is_printed_as_an_array() -> None:
    where = {"status": {"in": [3, 1]}, "shipped": {"not": [OTHER, DAY]}, "note": {"not": "it's"}}
    statement, parameters = query_of(pipeline(where), "matrix", Window(start=DAY, end=OTHER))
    text = printed(statement, parameters)
    assert "'--parameter=table_0_filter_0:ARRAY<INT64>:[1, 3]'" in text
    assert """'--parameter=table_0_filter_1:ARRAY<DATE>:["2024-01-01", "2024-01-02"]'""" in text
    assert "table_0_filter_2:STRING:it" in text
