"""Beside what people have: the excerpts of the documentation, and the tools where they are there.

`BESIDE_DBT` and `BESIDE_DAGSTER` name the `bin` of an environment that has dbt-duckdb or dagster,
and deltalake: the product needs neither, and their versions would fight with its own.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import google.auth
import google.auth.credentials
import pytest

from planner.pipeline.load import parse_pipeline
from sql.local import LocalWarehouse
from tests.commands import planner
from tests.integration.json_server import json_server
from worker.runners import Failed, Outcome, Ran, Stopped

PAGE = (Path(__file__).parents[2] / "docs" / "beside.md").read_text(encoding="utf-8")
RUNNERS = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
CODE = re.findall(r"```python\n# (\w+)\.py\n(.*?)```", PAGE, re.DOTALL)
DAYS = [date(2026, 3, 1) + timedelta(days=n) for n in range(10)]
HOLE = {DAYS[4], DAYS[5]}
HEAD = """
name = "shop"
start = 2026-03-01
end = 2026-03-10
chunk_dates = 7
[[phases]]
name = "orders"
tables = [{ name = "shop_raw.orders", date = "order_date", entities.store = "store_id" }]
[[phases]]
name = "store_daily"
after = ["orders"]
retries = 0
tables = [{ name = "shop_marts.store_daily", date = "order_date", entities.store = "store_id" }]
"""
FILL = (
    "INSERT INTO {table} SELECT d AS order_date, store AS store_id, 100 AS cents "
    "FROM UNNEST(GENERATE_DATE_ARRAY(@first, @last)) AS d CROSS JOIN UNNEST(['a', 'b']) AS store"
)


def runner_of(word: str) -> str:
    (found,) = [each for each in RUNNERS if word in each]
    return str(found)


@pytest.mark.parametrize("runner", RUNNERS, ids=["dbt", "dagster", "airflow", "cloud run"])
def test_every_excerpt_belongs_to_a_pipeline(runner: str) -> None:
    pipeline = parse_pipeline(HEAD + runner, Path("shop.toml"))

    assert len(pipeline.by_name["store_daily"].runners) == 1


# -- a service that runs jobs ------------------------------------------------------------------


@dataclass
class Service:
    """Airflow's interface or Cloud Run's: a job runs until it was looked at twice."""

    url: str = ""
    lasts: bool = False
    fails: bool = False
    answers: int = 200
    asked: list[tuple[str, str, Any]] = field(default_factory=list)

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        self.asked.append((method, path, body))
        is_over = len(self.asked) > 2 and not self.lasts
        if method == "POST" and not path.endswith(":cancel") and self.answers != 200:
            return self.answers, {"detail": "no"}
        if path.startswith("/api/v2/dags/d/"):
            wanted = "/dagRuns" if method == "POST" else "/dagRuns/step-1-2026-03-05-1"
            assert path == f"/api/v2/dags/d{wanted}"
            ended = "failed" if self.fails else "success"
            return 200, {"state": ended if is_over else "running"}
        found: dict[str, Any] = {
            "name": "operations/1",
            "metadata": {"name": "jobs/j/executions/e"},
        }
        if is_over:
            found |= {"done": True}
            found |= {"error": {"code": 13, "message": "exit code 1"}} if self.fails else {}
        return 200, found


@pytest.fixture
def service() -> Iterator[Service]:
    world = Service()
    with json_server(lambda method, path, body, _: world.answer(method, path, body)) as url:
        world.url = url
        yield world


@pytest.fixture(params=["airflow_dag", "cloud_run"])
def made(request: pytest.FixtureRequest, service: Service, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The class of the page, made as the pipeline file would."""
    credentials = google.auth.credentials.AnonymousCredentials()  # type: ignore[no-untyped-call]
    monkeypatch.setattr(google.auth, "default", lambda scopes: (credentials, "p"))
    found: dict[str, Any] = {}
    exec(dict(CODE)[request.param], found)
    if request.param == "cloud_run":
        return found["CloudRun"](
            job="projects/p/locations/l/jobs/j", url=service.url, poll_seconds=0.01
        )
    return found["AirflowDag"](url=service.url, dag="d", token="t", poll_seconds=0.01)


def run(made: Any, stop: str | None = None) -> Outcome:
    job = SimpleNamespace(
        step_id="step-1", start=DAYS[4], end=DAYS[5], attempt=1, stop=lambda: stop
    )
    outcome = made.run(job)
    assert isinstance(outcome, Outcome)
    return outcome


def test_a_job_is_started_with_its_dates_and_waited_for(made: Any, service: Service) -> None:
    assert isinstance(run(made), Ran)
    method, _, body = service.asked[0]
    assert method == "POST"
    assert str(DAYS[4]) in json.dumps(body)
    assert str(DAYS[5]) in json.dumps(body)


def test_a_job_that_fails_is_tried_again(made: Any, service: Service) -> None:
    service.fails = True
    outcome = run(made)
    assert isinstance(outcome, Failed)
    assert not outcome.is_permanent


def test_a_job_is_ended_when_the_step_has_to_stop(made: Any, service: Service) -> None:
    service.lasts = True
    assert run(made, stop="cancelled") == Stopped(why="cancelled")
    method, path, _ = service.asked[-1]
    assert method == "PATCH" or path.endswith("/jobs/j/executions/e:cancel")


def test_what_is_refused_is_not_tried_again(made: Any, service: Service) -> None:
    service.answers = 404
    outcome = run(made)
    assert isinstance(outcome, Failed)
    assert outcome.is_permanent


# -- the tools themselves ----------------------------------------------------------------------

MODEL = """
{{ config(materialized="incremental", incremental_strategy="microbatch", event_time="order_date",
          batch_size="day", begin="2026-01-01") }}
select order_date, store_id, sum(cents) as cents
from {{ source("shop_raw", "orders") }} group by order_date, store_id
"""
PROJECT = {
    "dbt_project.yml": "name: shop\nversion: '1.0'\nprofile: shop\nmodel-paths: [models]\n",
    "profiles.yml": "shop:\n  target: dev\n  outputs:\n"
    "    dev: {type: duckdb, path: shop.duckdb, schema: shop_marts}\n",
    "models/schema.yml": "sources:\n  - name: shop_raw\n    schema: shop_raw\n    tables:\n"
    "      - name: orders\n        config: {event_time: order_date}\n",
    "models/store_daily.sql": MODEL,
}
WRAPPER = """#!{bin}/python
# dbt, and then its days in the local warehouse, which dbt-duckdb does not write.
import subprocess, sys
import duckdb
from deltalake import DeltaTable, write_deltalake

lake = "{lake}"
if sys.argv[1] == "run":
    raw = DeltaTable(lake + "/shop_raw/orders").to_pyarrow_table()
    with duckdb.connect("shop.duckdb") as base:
        base.execute("create schema if not exists shop_raw")
        base.execute("create or replace table shop_raw.orders as select * from raw")
done = subprocess.run(["{bin}/dbt", *sys.argv[1:]])
if sys.argv[1] == "run" and done.returncode == 0:
    start = sys.argv[sys.argv.index("--event-time-start") + 1]
    end = sys.argv[sys.argv.index("--event-time-end") + 1][:10]
    span = f"order_date >= '{{start}}' and order_date <= '{{end}}'"
    with duckdb.connect("shop.duckdb") as base:
        days = base.execute(f"select * from shop_marts.store_daily where {{span}}").to_arrow_table()
    write_deltalake(lake + "/shop_marts/store_daily", days, mode="overwrite", predicate=span)
sys.exit(done.returncode)
"""
ASSETS = """
import pyarrow.compute as pc
from dagster import BackfillPolicy, DailyPartitionsDefinition, asset
from deltalake import DeltaTable, write_deltalake

LAKE = "{lake}"

@asset(partitions_def=DailyPartitionsDefinition("2026-03-01"),
       backfill_policy=BackfillPolicy.single_run())
def store_daily(context):
    window = context.partition_time_window
    start, end = window.start.date(), window.end.date()
    rows = DeltaTable(LAKE + "/shop_raw/orders").to_pyarrow_table()
    day = rows["order_date"]
    rows = rows.filter(pc.and_(pc.greater_equal(day, start), pc.less(day, end)))
    span = f"order_date >= '{{start}}' and order_date < '{{end}}'"
    write_deltalake(LAKE + "/shop_marts/store_daily", rows, mode="overwrite", predicate=span)
"""


def tool(name: str) -> Any:
    is_there = os.environ.get(name)
    return pytest.mark.skipif(not is_there, reason=f"{name} names no environment of the tool")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A warehouse with a hole of two days, and the project of dbt and the assets of Dagster."""
    warehouse = LocalWarehouse(tmp_path / "warehouse")
    span = {"first": DAYS[0], "last": DAYS[-1]}
    for name in ("shop_raw.orders", "shop_marts.store_daily"):
        columns = "order_date DATE, store_id STRING, cents INT64"
        warehouse.run(f"CREATE TABLE {name} ({columns}) PARTITION BY order_date", {})
        warehouse.run(FILL.format(table=name), span)
    lost = "DELETE FROM shop_marts.store_daily WHERE order_date BETWEEN @first AND @last"
    warehouse.run(lost, {"first": min(HOLE), "last": max(HOLE)})
    warehouse.close()
    for name, text in PROJECT.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "shop_assets.py").write_text(ASSETS.format(lake=tmp_path / "warehouse"))
    return tmp_path


def environment(place: Path, path: str) -> dict[str, str]:
    return {
        "PATH": f"{path}:{os.environ['PATH']}",
        "HOME": str(place),
        "BACKFILL_HOME": str(place / "home"),
        "BACKFILL_WAREHOUSE": f"local:{place / 'warehouse'}",
        "BACKFILL_PIPELINE": str(place / "shop.toml"),
        "DBT_PROJECT_DIR": str(place),
        "DBT_PROFILES_DIR": str(place),
        "DAGSTER_HOME": str(place),
    }


def repair(place: Path, given: dict[str, str]) -> None:
    """The hole is found, a fleet repairs it, and nothing is left."""
    before = planner("gaps", "--end", "2026-03-10", "--json", environment=given, cwd=place)
    assert {date.fromisoformat(gap["date"]) for gap in before.json["gaps"]} == HOLE, before.err
    words = ["sandbox", "run", "--workers", "1", "--", "enqueue", "--gaps", "--wait", "--yes"]
    done = planner(*words, environment=given, cwd=place)
    assert done.code == 0, done.out + done.err
    after = planner("gaps", "--end", "2026-03-10", environment=given, cwd=place)
    assert (after.code, "No gaps." in after.out) == (0, True), after.out


@pytest.mark.slow
@tool("BESIDE_DBT")
def test_dbt_repairs_a_hole_of_a_file_that_init_has_made(place: Path) -> None:
    (place / "bin").mkdir()
    wrapper = place / "bin" / "dbt"
    home = os.environ["BESIDE_DBT"]
    wrapper.write_text(WRAPPER.format(bin=home, lake=place / "warehouse"))
    wrapper.chmod(0o755)
    given = environment(place, str(place / "bin"))
    code = os.spawnve(
        os.P_WAIT, f"{home}/dbt", ["dbt", "parse", "--project-dir", str(place)], given
    )
    assert code == 0

    made = planner(
        "init", "shop.toml", "--manifest", "target/manifest.json", environment=given, cwd=place
    )
    assert made.code == 0, made.err
    with (place / "shop.toml").open("a") as file:
        file.write(runner_of("dbt"))

    repair(place, given)


@pytest.mark.slow
@tool("BESIDE_DAGSTER")
def test_dagster_repairs_a_hole(place: Path) -> None:
    (place / "shop.toml").write_text(HEAD + runner_of("dagster"))
    given = environment(place, os.environ["BESIDE_DAGSTER"]) | {"PYTHONPATH": str(place)}

    repair(place, given)
