"""The main job on BigQuery: the same commands, workers and plans, over its REST API."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from planner.pipeline.load import load_pipeline
from planner.sandbox.compare import Difference, differences
from planner.sandbox.workers import environment_of
from planner.settings import Settings
from sql import load, open_warehouse
from tests import commands
from tests.bigquery_server.rest import BigQueryServer
from tests.bigquery_server.served import ServedWarehouse
from tests.commands import Done
from worker.processes.embedded_redis import embedded_broker
from worker.processes.workers import run_workers

TABLES = [spec.table for spec in load_pipeline("sales").tables]
ORDERS = Path(__file__).parents[1] / "integration" / "sales_orders.sql"
START, END = date(2025, 6, 2), date(2025, 6, 20)
SCOPE = ("--start", str(START), "--end", str(END))
LOST = date(2025, 6, 10)
LAG_SECONDS = float(os.environ.get("BIGQUERY_LAG_SECONDS", "5"))
"""How old the records are: 60 takes some minutes, and shows no more."""
TOUCH = """
MERGE shop_raw.orders USING (SELECT * FROM shop_raw.orders WHERE order_date = @day) ON FALSE
WHEN NOT MATCHED BY SOURCE AND order_date = @day THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT ROW
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three weeks of a shop, filled in one piece. Not to be written to."""
    folder = tmp_path_factory.mktemp("sales") / "whole"
    span = {"start_date": START, "end_date": END}
    warehouse = open_warehouse(f"local:{folder}")
    for table in TABLES:
        warehouse.run(load(f"sales/create/{table.name.partition('.')[2]}"), {})
    for statement in (ORDERS.read_text(), load("sales/sessions"), load("sales/store_daily")):
        warehouse.run(statement, span)
    warehouse.close()
    return folder


@pytest.fixture
def here(whole: Path, tmp_path: Path) -> Path:
    """A copy of it that has lost a date of sessions, a report, and a store of another."""
    shutil.copytree(whole, tmp_path / "warehouse")
    warehouse = open_warehouse(f"local:{tmp_path / 'warehouse'}")
    warehouse.run("DELETE FROM shop_analytics.sessions WHERE order_date = @day", {"day": LOST})
    for statement in (
        "DELETE FROM shop_reports.store_daily WHERE report_date = '2025-06-05'",
        "DELETE FROM shop_reports.store_daily WHERE report_date = '2025-06-06' AND store_id = 4",
    ):
        warehouse.run(statement, {})
    warehouse.close()
    return tmp_path / "warehouse"


@pytest.fixture
def server(here: Path) -> Iterator[BigQueryServer]:
    with BigQueryServer(here, require_partition_filter=[t.name for t in TABLES]) as server:
        yield server


def planner(settings: Settings, server: BigQueryServer, *arguments: str) -> Done:
    """A command as a user types it."""
    environment = {"BIGQUERY_EMULATOR_HOST": server.url, **environment_of(settings)}
    place = settings.home_dir.parent
    return commands.planner(*arguments, environment={**os.environ, **environment}, cwd=place)


def settings_of(warehouse: str, place: Path) -> Settings:
    return Settings(
        _env_file=None,  # type: ignore[call-arg]
        warehouse=warehouse,
        pipeline="sales",
        home=place / "home",
        poll_max_seconds=0.5,
    )


def what_to_do(plan: dict[str, Any]) -> Any:
    """A plan without what differs from one to the next, and from warehouse to warehouse."""
    return {key: plan[key] for key in ("scope", "chunks", "skipped", "owed", "before")}


def labels(server: BigQueryServer) -> Counter[tuple[str, str]]:
    """Plan and phase of every job."""
    return Counter(
        (found["plan_id"], found["phase"])
        for request in server.requests
        if request.method == "jobs.insert"
        for found in [request.body["configuration"]["labels"]]
        if found["app"] == "backfill-fleet"
    )


def writes(server: BigQueryServer) -> Counter[str]:
    """The statements that were sent to write, with their parameters."""
    queries = (
        configuration["query"]
        for request in server.requests
        if request.method == "jobs.insert"
        for configuration in [request.body["configuration"]]
        if "query" in configuration and not configuration.get("dryRun")
    )
    return Counter(
        json.dumps([query["query"], query["queryParameters"]], sort_keys=True)
        for query in queries
        if "MERGE" in query["query"] or "INSERT INTO" in query["query"]
    )


@pytest.mark.slow
def test_records_that_lag_delay_the_main_job_and_repeat_nothing(
    whole: Path, here: Path, server: BigQueryServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given records of partitions that tell of every write late
    monkeypatch.setattr(ServedWarehouse, "known", datetime.now(UTC))
    monkeypatch.setattr(ServedWarehouse, "lag", timedelta(seconds=LAG_SECONDS))
    settings = settings_of("bigquery:shop-project", tmp_path)

    with ExitStack() as stack:
        stack.enter_context(embedded_broker(settings))
        environment = environment_of(settings) | {"BIGQUERY_EMULATOR_HOST": server.url}
        stack.enter_context(run_workers(settings, workers=2, environment=environment))
        done = planner(settings, server, "enqueue", "--gaps", "--wait", "--yes", "--json", *SCOPE)

    # Then it is complete, and no statement was sent twice
    assert done.code == 0, done.err
    assert done.json["status"]["validation"]["passed"]
    repaired = open_warehouse(f"local:{here}")
    assert differences(open_warehouse(f"local:{whole}"), repaired, TABLES) == []
    assert writes(server)
    assert set(writes(server).values()) == {1}


@pytest.mark.slow
def test_the_main_job_ends_as_on_the_local_warehouse(
    whole: Path, here: Path, server: BigQueryServer, tmp_path: Path
) -> None:
    local = settings_of(f"local:{here}", tmp_path)
    remote = settings_of("bigquery:shop-project", tmp_path)

    def unequal() -> list[Difference]:
        return differences(
            open_warehouse(f"local:{whole}"), open_warehouse(local.warehouse), TABLES
        )

    assert unequal()

    # Given the same tables behind both warehouses, then both plan the same
    plans = [planner(each, server, "plan", *SCOPE, "--json") for each in (local, remote)]
    assert [plan.code for plan in plans] == [0, 0], plans
    assert what_to_do(plans[0].json) == what_to_do(plans[1].json)
    assert plans[0].json["cost"] is None
    counting = plans[1].json["cost"]["counting"]
    assert counting["bytes"] == 6 * 10 * 1024 * 1024  # three tables in three datasets
    assert "billed" not in plans[0].err
    assert "Counting is billed 60.0 MiB ($0.0004) at most." in plans[1].err

    # And a limit below that is refused before anything is run
    before = server.bytes_billed
    refused = planner(remote, server, "gaps", *SCOPE, "--max-bytes", "1000000")
    assert refused.code == 2
    assert "62,914,560 bytes" in refused.err
    assert "--max-bytes allows 1,000,000" in refused.err
    assert server.bytes_billed == before

    with ExitStack() as stack:
        stack.enter_context(embedded_broker(remote))
        environment = environment_of(remote) | {"BIGQUERY_EMULATOR_HOST": server.url}
        stack.enter_context(run_workers(remote, workers=2, environment=environment))

        # When it is repaired by workers that know of nothing but BigQuery
        done = planner(remote, server, "enqueue", "--gaps", "--wait", "--yes", "--json", *SCOPE)

        # Then every row is as it was made in one piece, by Google's client
        assert done.code == 0, done.err
        assert done.json["status"]["validation"]["passed"]
        assert unequal() == []

        # And every job says which plan and phase it is for
        own = {phase for plan, phase in labels(server) if plan == done.json["plan_id"]}
        assert own == {"planning", "sessionise", "aggregate", "final"}

        # When orders of a date are written anew, then no count shows a gap
        warehouse = open_warehouse(local.warehouse)
        warehouse.run(TOUCH, {"day": LOST})
        warehouse.close()
        assert planner(remote, server, "gaps", *SCOPE).code == 0
        stale = planner(remote, server, "gaps", "--stale", *SCOPE, "--json")
        reasons = Counter((gap["phase"], gap["reason"]) for gap in stale.json["gaps"])
        assert reasons == {("sessionise", "stale"): 1, ("aggregate", "cascade"): 6}
        assert [p["complete"] - p["expected"] for p in stale.json["phases"]] == [0, -1, 0]

        # Then a repair that asks for stale dates does that date again, and there is none left
        again = planner(
            remote, server, "enqueue", "--gaps", "--stale", "--wait", "--yes", "--json", *SCOPE
        )
        assert again.code == 0, again.err
        assert unequal() == []
        none = planner(remote, server, "gaps", "--stale", *SCOPE, "--json")
        assert (none.code, none.json["gaps"]) == (0, [])
        report = json.loads(
            (remote.home_dir / "reports" / again.json["run_id"] / "report.json").read_text()
        )
        states = {row[2] for row in report["days_before"]["phases"]["sessionise"]}
        assert "stale" in states
        assert "stale" not in {r[2] for r in report["days_after"]["phases"]["sessionise"]}
