"""A pipeline whose datasets are in two locations: counted each in its own, compared, and said."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path

import pytest

from sql.bigquery_answers import tables_of
from sql.local import LocalWarehouse
from tests.bigquery_server.rest import BigQueryServer
from tests.commands import Done, here, impatient

PIPELINE = """
name = "shop"
seasons = [{ name = "2026", year = 2026, start = 2026-03-01, end = 2026-03-14 }]
[[phases]]
name = "orders"
tables = [{ name = "far.orders", date = "day", entities = { store = "store" } }]
[[phases]]
name = "daily"
after = ["orders"]
tables = [{ name = "near.daily", date = "day", entities = { store = "store" } }]
runners = [{ kind = "script", command = ["true"] }]
[[phases]]
name = "weekly"
after = ["daily"]
every = "week"
on = "sunday"
dated = "last"
tables = [{ name = "far.weekly", date = "day", entities = { store = "store" } }]
runners = [{ kind = "script", command = ["true"] }]
"""
PLACES = {"far": "asia-northeast1", "near": "US"}
FILL = """
INSERT INTO {table} SELECT day, CONCAT('s', CAST(n AS STRING)) AS store
FROM UNNEST(GENERATE_DATE_ARRAY(@first, @last, INTERVAL {step} DAY)) AS day,
UNNEST(GENERATE_ARRAY(1, 4)) AS n
"""
FIRST, LAST = date(2026, 3, 1), date(2026, 3, 14)

Say = Callable[..., Done]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[BigQueryServer]:
    local = LocalWarehouse(tmp_path / "warehouse")
    for table, first, step in (
        ("far.orders", FIRST, 1),
        ("near.daily", FIRST, 1),
        ("far.weekly", date(2026, 3, 8), 7),
    ):
        local.run(f"CREATE TABLE {table} (day DATE, store STRING) PARTITION BY day", {})
        local.run(FILL.format(table=table, step=step), {"first": first, "last": LAST})
    for statement in (
        "DELETE FROM near.daily WHERE day = '2026-03-05' AND store = 's3'",
        "INSERT INTO near.daily SELECT DATE '2026-03-06' AS day, 'odd' AS store",
        "DELETE FROM far.weekly WHERE store = 's2'",
    ):
        local.run(statement, {})
    local.close()
    with BigQueryServer(tmp_path / "warehouse", locations=PLACES) as server:
        yield server


@pytest.fixture
def say(tmp_path: Path, server: BigQueryServer) -> Say:
    (tmp_path / "shop.toml").write_text(PIPELINE)
    environment = {
        **{name: value for name, value in os.environ.items() if "BACKFILL" not in name},
        "BACKFILL_PIPELINE": "shop.toml",
        "BACKFILL_HOME": str(tmp_path / "home"),
        "BACKFILL_BROKER_URL": "redis://127.0.0.1:1/0",
        "BACKFILL_WAREHOUSE": "bigquery:p",
        "BIGQUERY_EMULATOR_HOST": server.url,
    }

    def said(*arguments: str) -> Done:
        return here(*arguments, environment=environment, cwd=tmp_path, before=impatient)

    return said


def test_ids_of_two_locations_are_compared_and_every_job_runs_where_its_tables_are(
    say: Say, server: BigQueryServer
) -> None:
    found = say("gaps", "--json", "--entities")
    assert found.code == 1, found.err
    told = {(gap["phase"], gap["date"], gap["reason"]): str(gap) for gap in found.json["gaps"]}

    assert {key for key in told if key[0] == "daily"} == {
        ("daily", "2026-03-05", "partial"),
        ("daily", "2026-03-06", "surplus"),
    }
    assert "s3" in told["daily", "2026-03-05", "partial"]
    assert "odd" in told["daily", "2026-03-06", "surplus"]
    assert all("s2" in text for key, text in told.items() if key[0] == "weekly")
    assert any(key[0] == "weekly" for key in told)

    jobs = [
        (set(tables_of(query["query"])), request.body["jobReference"]["location"])
        for request in server.requests
        if request.method == "jobs.insert"
        for query in [request.body["configuration"]["query"]]
    ]
    assert {place for _, place in jobs} == set(PLACES.values())
    for datasets, place in jobs:
        assert {PLACES[name] for name in datasets} == {place}


def test_doctor_names_both_locations(say: Say) -> None:
    told = say("doctor", "--json")
    checks = {check["what"]: check for check in told.json["checks"]}

    assert checks["locations"]["detail"] == "US: near; asia-northeast1: far"
    assert "a statement that reads tables of two is refused" in checks["locations"]["warning"]
    for name in ("orders: far.orders", "daily: near.daily", "weekly: far.weekly"):
        assert checks[name]["ok"], checks[name]
