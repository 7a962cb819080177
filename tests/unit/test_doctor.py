"""The doctor on real warehouses: what is as the pipeline file says, and what is not."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from planner.doctor.tables import CREDENTIALS, Check, check_tables
from planner.pipeline.load import SHIPPED, load_pipeline
from planner.pipeline.pipeline import Pipeline
from sql import AccessDenied, Warehouse, load, open_warehouse
from sql.warehouse import Partitioning

LIVE = Path(__file__).parents[1] / "live_schema"
TODAY = date(2026, 7, 1)


@pytest.fixture(scope="module")
def live_tables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The live tables, empty. Not to be written to."""
    folder = tmp_path_factory.mktemp("live")
    made(folder, [path.read_text() for path in sorted(LIVE.glob("*.sql"))]).close()
    return folder


@pytest.fixture(scope="module")
def unchanged(live_tables: Path) -> Iterator[Warehouse]:
    """The live tables, opened once. Not to be written to."""
    warehouse = open_warehouse(f"local:{live_tables}")
    yield warehouse
    warehouse.close()


@pytest.fixture
def live(live_tables: Path, tmp_path: Path) -> Warehouse:
    """Live tables to change."""
    shutil.copytree(live_tables, tmp_path, dirs_exist_ok=True)
    return open_warehouse(f"local:{tmp_path}")


def made(folder: Path, statements: list[str]) -> Warehouse:
    warehouse = open_warehouse(f"local:{folder}")
    for statement in statements:
        warehouse.run(statement, {})
    return warehouse


def failed(warehouse: Warehouse, pipeline: Pipeline) -> list[Check]:
    return [check for check in check_tables(warehouse, pipeline, today=TODAY) if not check.ok]


def edited(tmp_path: Path, *changes: tuple[str, str]) -> Pipeline:
    text = (SHIPPED / "nba-live.toml").read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "edited.toml"
    path.write_text(text)
    return load_pipeline(str(path))


def test_the_live_pipeline_fits_the_live_tables(unchanged: Warehouse) -> None:
    pipeline = load_pipeline("nba-live")

    assert failed(unchanged, pipeline) == []
    assert sum(len(phase.tables) for phase in pipeline.phases) == 14


def test_the_planned_pipeline_fits_the_planned_tables(tmp_path: Path) -> None:
    creates = sorted((Path("sql/sandbox/create")).glob("*.sql"))
    statements = [load(f"sandbox/create/{path.stem}") for path in creates]

    assert failed(made(tmp_path, statements), load_pipeline("nba")) == []


def test_a_wrong_column_is_told_with_the_nearest_one(unchanged: Warehouse, tmp_path: Path) -> None:
    pipeline = edited(tmp_path, ('date = "cache_date"', 'date = "cached_date"'))

    (check,) = failed(unchanged, pipeline)

    assert check.what == "precompute: nba_precompute.player_daily_cache"
    assert "no column 'cached_date'" in check.detail
    assert "did you mean 'cache_date'?" in check.advice


def test_a_date_that_is_a_text_is_told(live: Warehouse, tmp_path: Path) -> None:
    text = (LIVE / "ml_feature_store_v2.sql").read_text()
    bare = re.sub(r"PARTITION BY \w+", "", text).replace("_v2", "_v3")
    live.run(re.sub(r"\bgame_date DATE\b", "game_date STRING", bare), {})

    pipeline = edited(tmp_path, ("ml_feature_store_v2", "ml_feature_store_v3"))
    (check,) = failed(live, pipeline)

    assert "is counted by 'game_date', which is a STRING" in check.detail
    assert "name a DATE, DATETIME or TIMESTAMP column" in check.detail


def test_a_table_that_is_not_there_is_told(unchanged: Warehouse, tmp_path: Path) -> None:
    pipeline = edited(tmp_path, ("ml_feature_store_v2", "ml_feature_store_v3"))

    (check,) = failed(unchanged, pipeline)

    assert "has no such table" in check.detail
    assert "did you mean 'nba_predictions.ml_feature_store_v2'?" in check.advice


def test_the_filter_of_a_table_is_a_column_too(unchanged: Warehouse, tmp_path: Path) -> None:
    (check,) = failed(unchanged, edited(tmp_path, ("is_voided = {", "is_void = {")))

    assert "did you mean 'is_voided'?" in check.advice


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"expires_days": 90.0}, "expire after 90 days"),
        ({"column": "other_date", "needs_filter": True}, "a filter on 'other_date'"),
    ],
)
def test_partitions_that_cannot_keep_or_show_the_dates_are_told(
    unchanged: Warehouse,
    monkeypatch: pytest.MonkeyPatch,
    change: dict[str, object],
    told: str,
) -> None:
    stock: Callable[[str], Partitioning] = unchanged.partitioning

    def partitioning(table: str) -> Partitioning:
        found = stock(table)
        return replace(found, **change) if table.endswith("prediction_accuracy") else found

    monkeypatch.setattr(unchanged, "partitioning", partitioning)

    (check,) = failed(unchanged, load_pipeline("nba-live"))

    assert told in check.detail
    assert check.advice


def test_a_table_without_partitions_is_fine_and_told(live: Warehouse, tmp_path: Path) -> None:
    text = (LIVE / "ml_feature_store_v2.sql").read_text()
    bare = re.sub(r"PARTITION BY \w+", "", text).replace("_v2", "_v3")
    live.run(bare, {})

    pipeline = edited(tmp_path, ("ml_feature_store_v2", "ml_feature_store_v3"))
    checks = {c.what: c for c in check_tables(live, pipeline, today=TODAY)}

    check = checks["precompute: nba_predictions.ml_feature_store_v3"]
    assert check.ok
    assert "not partitioned" in check.detail


def test_rows_without_a_date_are_told(live: Warehouse) -> None:
    pipeline = load_pipeline("nba-live")
    name = pipeline.tables[-1].name
    columns = live.columns(name).items()
    nothing = ", ".join(f"CAST(NULL AS {kind}) AS {column}" for column, kind in columns)
    live.run(f"INSERT INTO {name} SELECT {nothing}", {})

    (check,) = [c for c in check_tables(live, pipeline, today=TODAY) if name in c.what]

    assert check.ok
    assert check.detail.endswith("rows without a date, which count for none: 1")


def test_records_that_may_not_be_read_are_told_with_what_to_grant(
    unchanged: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*asked: object) -> object:
        raise AccessDenied("Access Denied. Grant roles/bigquery.dataViewer on the dataset.")

    monkeypatch.setattr(unchanged, "partitions", refused)

    checks = list(check_tables(unchanged, load_pipeline("nba-live"), today=TODAY))

    assert all(check.ok for check in checks)
    assert all("Grant roles/bigquery.dataViewer" in check.detail for check in checks)


@pytest.mark.parametrize(
    ("runner", "is_told"),
    [
        ('kind = "sql"\nstatements = ["sales/store_daily"]', True),
        ('kind = "plugin"\nuse = "theirs"', True),
        ('kind = "script"\ncommand = ["fill"]', True),
        (f'kind = "script"\ncommand = ["fill"]\nenv = {{ {CREDENTIALS} = "${{K}}" }}', False),
        ('kind = "http_batch"\nurl = "http://there"', False),
    ],
)
def test_a_table_is_to_be_writable_where_its_runner_writes_as_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runner: str, is_told: bool
) -> None:
    creates = sorted(Path("sql/sales/create").glob("*.sql"))
    warehouse = made(
        tmp_path / "warehouse", [load(f"sales/create/{each.stem}") for each in creates]
    )
    monkeypatch.setattr(type(warehouse), "missing_rights", lambda self, table: ["updateData"])
    text = (SHIPPED / "sales.toml").read_text()
    head, _ = text.rsplit("[[phases.runners]]", 1)
    path = tmp_path / "sales.toml"
    path.write_text(f"{head}[[phases.runners]]\n{runner}\n")

    told = [check.what for check in failed(warehouse, load_pipeline(str(path)))]

    assert ("aggregate: shop_reports.store_daily" in told) is is_told
