"""SQL that can run twice: every statement of the documentation does, on both warehouses."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from planner.pipeline.load import load_pipeline
from planner.pipeline.runners import SqlRunner
from sql.bigquery import BigQueryWarehouse
from sql.local import LocalWarehouse
from sql.warehouse import Warehouse
from tests.bigquery_server.rest import BigQueryServer
from worker.runners.job import Job, Ran
from worker.runners.sql import Sql

PAGE = Path(__file__).parents[2] / "docs" / "twice.md"
STATEMENTS = dict(
    re.findall(r"```sql\n-- (\w+)\.sql\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
)
PHASE = load_pipeline(str(Path(__file__).with_name("two_phases.toml"))).phases[0]
DAYS = [date(2026, 3, 1) + timedelta(days=n) for n in range(20)]
STEP = (DAYS[8], DAYS[9], DAYS[10])
TABLES = {
    "shop_raw.orders": "order_date DATE, store_id STRING, cents INT64",
    "shop_marts.store_daily": "order_date DATE, store_id STRING, orders INT64, cents INT64",
    "shop_marts.store_trend": "order_date DATE, store_id STRING, cents_of_seven_days INT64",
}
ORDERS = (
    "INSERT INTO shop_raw.orders SELECT d AS order_date, store AS store_id, 100 AS cents "
    "FROM UNNEST(GENERATE_DATE_ARRAY(@first, @last)) AS d CROSS JOIN UNNEST(['a', 'b']) AS store"
)
OLD = {
    "store_daily": "SELECT d AS order_date, 'gone' AS store_id, 0 AS orders, 0 AS cents",
    "store_trend": "SELECT d AS order_date, 'gone' AS store_id, 0 AS cents_of_seven_days",
}


@pytest.fixture(params=["local", "bigquery"])
def warehouse(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Warehouse]:
    """Orders of twenty days, and marts that hold a store which the orders do not."""
    local = LocalWarehouse(tmp_path / "tables")
    span = {"first": DAYS[0], "last": DAYS[-1]}
    for name, columns in TABLES.items():
        local.run(f"CREATE TABLE {name} ({columns}) PARTITION BY order_date", {})
    local.run(ORDERS, span)
    for name, rows in OLD.items():
        every = "UNNEST(GENERATE_DATE_ARRAY(@first, @last)) AS d"
        local.run(f"INSERT INTO shop_marts.{name} {rows} FROM {every}", span)
    if request.param == "local":
        yield local
        local.close()
        return
    local.close()
    with BigQueryServer(tmp_path / "tables") as server:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.url)
        warehouse = BigQueryWarehouse("p")
        yield warehouse
        warehouse.close()
        assert not server.unknown


def run(warehouse: Warehouse, folder: Path, *names: str) -> None:
    for name in names:
        (folder / f"{name}.sql").write_text(STATEMENTS[name])
    outcome = Sql(SqlRunner(kind="sql", statements=names)).run(
        Job(
            run_id="run-1",
            step_id="step-1",
            phase=PHASE,
            dates=STEP,
            attempt=1,
            checkpoint={},
            log=folder / "log",
            pipeline_dir=folder,
            warehouse=warehouse,
            grace_seconds=1,
            stop=lambda: None,
        )
    )
    assert isinstance(outcome, Ran), outcome


def rows(warehouse: Warehouse, table: str) -> list[dict[str, Any]]:
    found = warehouse.rows(f"SELECT * FROM {table} ORDER BY order_date, store_id", {})
    return [dict(row) for row in found]


@pytest.mark.parametrize(
    ("names", "table", "expected"),
    [
        (("daily",), "store_daily", {"orders": 1, "cents": 100}),
        (("daily_clear", "daily_fill"), "store_daily", {"orders": 1, "cents": 100}),
        (("trend",), "store_trend", {"cents_of_seven_days": 700}),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, tuple) else "",
)
def test_a_second_run_leaves_the_rows_of_the_first(
    warehouse: Warehouse,
    tmp_path: Path,
    names: tuple[str, ...],
    table: str,
    expected: dict[str, int],
) -> None:
    before = rows(warehouse, f"shop_marts.{table}")

    run(warehouse, tmp_path, *names)
    once = rows(warehouse, f"shop_marts.{table}")
    run(warehouse, tmp_path, *names)

    # Then the step's dates hold what the orders say, and no other date has changed
    assert rows(warehouse, f"shop_marts.{table}") == once
    assert [row for row in once if row["order_date"] in STEP] == [
        {"order_date": day, "store_id": store} | expected for day in STEP for store in "ab"
    ]
    others = [row for row in before if row["order_date"] not in STEP]
    assert [row for row in once if row["order_date"] not in STEP] == others


def test_a_crash_between_two_statements_is_mended_by_the_next_run(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    run(warehouse, tmp_path, "daily_clear", "daily_fill")
    once = rows(warehouse, "shop_marts.store_daily")
    run(warehouse, tmp_path, "daily_clear")

    run(warehouse, tmp_path, "daily_clear", "daily_fill")

    assert rows(warehouse, "shop_marts.store_daily") == once


def test_every_statement_of_the_page_is_run() -> None:
    blocks = PAGE.read_text(encoding="utf-8").count("```sql")
    assert set(STATEMENTS) == {"daily", "daily_clear", "daily_fill", "trend"}
    assert len(STATEMENTS) == blocks
