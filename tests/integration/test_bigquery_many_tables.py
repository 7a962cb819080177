"""A dataset of a thousand tables in shards: BigQuery refuses its records, and nothing ends."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from datetime import timedelta
from functools import partial

import pytest

from planner.sandbox.workers import environment_of
from sql.bigquery import BigQueryWarehouse
from sql.errors import Unsupported
from sql.warehouse import Table
from tests.bigquery_server.faults import Fault
from tests.bigquery_server.rest import BigQueryServer
from tests.bigquery_server.served import TABLES_READ
from tests.commands import planner
from tests.integration.allyear import AllYear, at, jan, noon
from worker.processes.embedded_redis import embedded_broker

TOO_MANY = Fault(
    reason="invalidQuery",
    message="INFORMATION_SCHEMA.PARTITIONS query attempted to read too many tables. Please add "
    "more restrictive filters.",
    in_job=True,
    about="INFORMATION_SCHEMA.PARTITIONS",
)
DAILY = Table(name="s.daily", date="day")
FIRST, LAST = jan(1), jan(20)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> AllYear:
    """Orders in one shard a day, since long before the calendar; `daily` has lost a day."""
    shop = AllYear(tmp_path_factory.mktemp("many"))
    shop.fill_all(FIRST, LAST)
    shop.lose("daily", jan(10))
    shop.warehouse.run("CREATE TABLE s.shard (store STRING)", {})
    shop.warehouse.run(
        "INSERT INTO s.shard SELECT CONCAT('s', CAST(n AS STRING)) AS store "
        "FROM UNNEST(GENERATE_ARRAY(1, 12)) AS n",
        {},
    )
    folder = shop.place / "warehouse/s"
    for n in range(TABLES_READ):
        shutil.copytree(folder / "shard", folder / f"events_{LAST - timedelta(days=n):%Y%m%d}")
    file = shop.place / "shop.toml"
    sharded = 'name = "s.events_*"\ndate = "_TABLE_SUFFIX"'
    file.write_text(file.read_text().replace('name = "s.orders"\ndate = "day"', sharded))
    return shop


@pytest.fixture
def server(built: AllYear) -> Iterator[BigQueryServer]:
    with BigQueryServer(built.place / "warehouse") as server:
        yield server


@pytest.mark.slow
@pytest.mark.parametrize("refused", [0, 99], ids=["by computed names", "whatever is asked"])
def test_a_thousand_shards_end_neither_doctor_nor_a_scan(
    built: AllYear, server: BigQueryServer, refused: int
) -> None:
    settings = built.settings.model_copy(update={"warehouse": "bigquery:p"})
    environment = {
        **os.environ,
        **environment_of(settings),
        "BIGQUERY_EMULATOR_HOST": server.url,
    }
    say = partial(
        planner, environment=environment, cwd=built.place, before=partial(at, noon(jan(21)))
    )
    server.fail(TOO_MANY, on="jobs.insert", times=refused)
    with embedded_broker(settings):
        told = say("doctor", "--json")
    found = say("gaps", "--json")

    # Then every table is told, and the gap is the one that the counts show
    assert told.code == 0, told.out
    details = {check["what"]: check["detail"] for check in told.json["checks"]}
    assert details["orders: s.events_*"] == "by _TABLE_SUFFIX"
    assert ("nothing versions its rows" in details["daily: s.daily"]) is bool(refused)
    assert found.code == 1, found.err
    assert [
        (gap["phase"], gap["date"]) for gap in found.json["gaps"] if gap["reason"] == "missing"
    ] == [("daily", "2024-01-10")]


@pytest.mark.slow
def test_records_are_asked_for_by_bare_names_where_computed_ones_are_refused(
    server: BigQueryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.url)
    warehouse = BigQueryWarehouse("p")
    records = warehouse.partitions([DAILY], FIRST, LAST)[DAILY.name].by_day
    assert records is not None
    assert len(records) == len(warehouse.versions(DAILY, FIRST, LAST)) == 19

    server.fail(TOO_MANY, on="jobs.insert", times=99)
    assert warehouse.partitions([DAILY], FIRST, LAST)[DAILY.name].by_day is None
    with pytest.raises(Unsupported, match="more than 1,000 tables"):
        warehouse.versions(DAILY, FIRST, LAST)
    warehouse.close()
