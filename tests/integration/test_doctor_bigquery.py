"""The doctor on BigQuery: both shipped pipelines on their schemas, over real HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from types import MappingProxyType

import pytest

from planner.doctor.tables import Check, check_tables
from planner.pipeline.load import load_pipeline
from sql.bigquery import BigQueryWarehouse
from sql.local import LocalWarehouse
from tests.bigquery_server.faults import ACCESS_DENIED, Fault
from tests.bigquery_server.rest import BigQueryServer

LIVE = Path(__file__).parents[1] / "live_schema"
PLANNED = Path("sql/sandbox/create")
TODAY = date(2026, 7, 1)
FILTERED = [
    "nba_raw.nbac_schedule",
    "nba_analytics.team_offense_game_summary",
    "nba_predictions.ml_feature_store_v2",
    "nba_predictions.player_prop_predictions",
    "nba_predictions.prediction_accuracy",
]
"""Live tables of which BigQuery refuses a query without a filter."""

Examine = Callable[..., dict[str, Check]]


@pytest.fixture
def examine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Examine]:
    """What the doctor says of a pipeline's tables, made from the statements of a folder."""
    with ExitStack() as stack:

        def checks(
            pipeline: str,
            schema: Path,
            read_only: tuple[str, ...] = (),
            faults: Mapping[str, Fault] = MappingProxyType({}),
        ) -> dict[str, Check]:
            local = LocalWarehouse(tmp_path)
            for path in sorted(schema.glob("*.sql")):
                local.run(path.read_text(), {})
            local.close()
            server = stack.enter_context(
                BigQueryServer(tmp_path, require_partition_filter=FILTERED, read_only=read_only)
            )
            monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.url)
            for method, fault in faults.items():
                server.fail(fault, on=method)
            warehouse = BigQueryWarehouse("owner")
            stack.callback(warehouse.close)
            found = list(check_tables(warehouse, load_pipeline(pipeline), today=TODAY))
            return {check.what: check for check in found}

        yield checks


@pytest.mark.parametrize(
    ("pipeline", "schema", "tables"), [("nba", PLANNED, 10), ("nba-live", LIVE, 14)]
)
@pytest.mark.quick(0)
def test_a_shipped_pipeline_fits_its_tables(
    examine: Examine, pipeline: str, schema: Path, tables: int
) -> None:
    checks = examine(pipeline, schema)

    assert [check for check in checks.values() if not check.ok] == []
    assert len(checks) == tables


def test_tables_that_may_not_be_written_are_told_with_what_to_grant(examine: Examine) -> None:
    # Given a source and two later tables that may be read, and not written
    grading, predictions = "prediction_accuracy", "player_prop_predictions"
    dataset = "nba_predictions"
    closed = ("nba_raw.bdl_player_boxscores", f"{dataset}.{grading}", f"{dataset}.{predictions}")

    checks = examine("nba", PLANNED, closed)

    # Then the one that a script fills is told: nobody here writes a source, and the service that
    # predicts has credentials of its own
    (wrong,) = [check for check in checks.values() if not check.ok]
    assert wrong.what == f"grading: {dataset}.{grading}"
    assert "bigquery.tables.updateData" in wrong.detail
    assert "roles/bigquery.dataEditor" in wrong.advice


def test_a_dataset_that_may_not_be_listed_ends_nothing(
    examine: Examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a table that is not there, and a dataset beside it that may not be listed
    lost = "nba_predictions.prediction_accuracy"
    real = BigQueryWarehouse.columns

    def columns(self: BigQueryWarehouse, table: str) -> Mapping[str, str]:
        return real(self, f"{table}_gone" if table == lost else table)

    monkeypatch.setattr(BigQueryWarehouse, "columns", columns)
    checks = examine("nba", PLANNED, faults={"tables.list": ACCESS_DENIED})

    # Then every table is told, and that one with a name of another dataset's where one is near
    assert len(checks) == 10
    (wrong,) = [check for check in checks.values() if not check.ok]
    assert wrong.detail == "bigquery:owner has no such table"
    assert wrong.advice.startswith("create it, or correct its name")
