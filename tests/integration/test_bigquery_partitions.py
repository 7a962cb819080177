"""Tables of BigQuery by hour, by the day of loading and by a range of numbers, from gap to restore.

A filter is demanded of each that can be filtered by day.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import pytest
import redis

from planner.sandbox.workers import environment_of
from planner.settings import Settings
from sql.bigquery import BigQueryWarehouse
from sql.local import LocalWarehouse
from tests.bigquery_server.rest import BigQueryServer
from tests.commands import Done, planner
from tests.integration.allyear import at, jan, noon, visit_all

PIPELINE = """
name = "shop"
start = 2024-01-01
[[phases]]
name = "orders"
tables = [{{ name = "s.orders", date = "{date}", entities = {{ store = "store" }} }}]
[[phases]]
name = "daily"
after = ["orders"]
retries = 0
tables = [{{ name = "s.daily", date = "{date}", entities = {{ store = "store" }} }}]
runners = [{{ kind = "sql", statements = ["daily"] }}]
"""
FILL = """
INSERT INTO {table} SELECT {value} AS {column}, n AS store
FROM UNNEST(GENERATE_DATE_ARRAY(@first, @last)) AS day
CROSS JOIN UNNEST(GENERATE_ARRAY(1, 3)) AS n
"""
MERGE = """
MERGE s.daily USING (SELECT {column}, store FROM s.orders WHERE {within}) ON FALSE
WHEN NOT MATCHED BY SOURCE AND {within} THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT ROW
"""
LOST = jan(10)
TABLES = ("s.orders", "s.daily")
KEPT = "safe"
MOMENTS = "sold >= TIMESTAMP(@start_date) AND sold < TIMESTAMP(DATE_ADD(@end_date, INTERVAL 1 DAY))"
ONE_VERSION = "one version covers all its dates"


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How `orders` and `daily` are partitioned."""

    columns: str
    partition_by: str = ""
    column: str
    """The date of the pipeline file."""
    value: str = "day"
    within: str = "day BETWEEN @start_date AND @end_date"
    by_hour: bool = False
    needs_filter: bool = True
    doctor: str
    """What doctor says of `daily`."""
    not_kept: str


KINDS = {
    "by hour": Kind(
        columns="sold TIMESTAMP, store INT64",
        column="sold",
        value="TIMESTAMP(DATETIME_ADD(DATETIME(day), INTERVAL 1410 MINUTE))",
        within=MOMENTS,
        by_hour=True,
        doctor="by sold, filter required",
        not_kept="s.daily is not partitioned by the day of sold",
    ),
    "by the day of loading": Kind(
        columns="_PARTITIONDATE DATE, store INT64",
        partition_by="_PARTITIONDATE",
        column="_PARTITIONDATE",
        within="_PARTITIONDATE BETWEEN @start_date AND @end_date",
        doctor="by _PARTITIONDATE, filter required",
        not_kept="s.daily is dated by its loading, which is not put back",
    ),
    "by a range of numbers": Kind(
        columns="day DATE, store INT64",
        partition_by="store",
        column="day",
        needs_filter=False,
        doctor=f"by day; partitioned by store; {ONE_VERSION}",
        not_kept="s.daily is not partitioned by the day of day",
    ),
}


class World:
    """Twenty days on a server, of which `daily` lacks one, and commands on them."""

    def __init__(self, place: Path, kind: Kind, settings: Settings, stack: ExitStack) -> None:
        self.place, self.kind = place, kind
        self.local = LocalWarehouse(place / "warehouse")
        by = f" PARTITION BY {kind.partition_by}" if kind.partition_by else ""
        for name in TABLES:
            self.local.run(f"CREATE TABLE {name} ({kind.columns}){by}", {})
        for name, first, last in (
            ("s.orders", 1, 20),
            ("s.daily", 1, LOST.day - 1),
            ("s.daily", LOST.day + 1, 20),
        ):
            filled = FILL.format(table=name, value=kind.value, column=kind.column)
            self.local.run(filled, {"first": jan(first), "last": jan(last)})
        (place / "shop.toml").write_text(PIPELINE.format(date=kind.column))
        statement = MERGE.format(column=kind.column, within=kind.within)
        (place / "daily.sql").write_text(statement)
        self.server = stack.enter_context(
            BigQueryServer(
                place / "warehouse",
                locations={KEPT: "US"},
                by_hour=dict.fromkeys(TABLES, kind.column) if kind.by_hour else {},
                require_partition_filter=TABLES if kind.needs_filter else (),
            )
        )
        self.settings = settings.model_copy(
            update={
                "warehouse": "bigquery:p",
                "pipeline": str(place / "shop.toml"),
                "home": place / "home",
                "keep_dataset": KEPT,
            }
        )

    def say(self, *arguments: str) -> Done:
        environment = {
            **os.environ,
            **environment_of(self.settings),
            "BIGQUERY_EMULATOR_HOST": self.server.url,
        }
        before = partial(at, noon(jan(21)))
        return planner(*arguments, environment=environment, cwd=self.place, before=before)


pytestmark = pytest.mark.slow
"""What is partitioned how, and which marks that gives, test_days.py shows quickly."""

Make = Callable[[Kind], World]


@pytest.fixture
def make(
    tmp_path: Path,
    client: redis.Redis,
    redis_settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Make]:
    with ExitStack() as stack:

        def made(kind: Kind) -> World:
            world = World(tmp_path, kind, redis_settings, stack)
            monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", world.server.url)
            monkeypatch.setattr(BigQueryWarehouse, "records_lag_seconds", 0.0)
            return world

        yield made


def gaps_of(world: World) -> set[tuple[str, str, str]]:
    found = world.say("gaps", "--json")
    assert found.code in (0, 1), found.err
    return {(gap["phase"], gap["date"], gap["reason"]) for gap in found.json["gaps"]}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_gap_is_found_repaired_recounted_and_its_run_restored(make: Make, kind: Kind) -> None:
    world = make(kind)

    # Then the gap is found, and doctor is content and says what is not proved
    assert gaps_of(world) == {("daily", str(LOST), "missing")}
    told = world.say("doctor", "--json")
    details = {check["what"]: check["detail"] for check in told.json["checks"] if check["ok"]}
    assert details["daily: s.daily"].startswith(kind.doctor)
    assert (ONE_VERSION in details["daily: s.daily"]) is (ONE_VERSION in kind.doctor)

    # When it is repaired, then the recount passes and nothing is left
    run = world.say("enqueue", "--gaps", "--yes", "--json").json["run_id"]
    report = visit_all(world.settings, run)
    assert report.state == "complete", report.model_dump_json()
    assert gaps_of(world) == set()

    # And complete dates that are written anew are proved to be
    chosen = ("--redo", "--phases", "daily", "--dates", "2024-01-05..2024-01-06")
    again = world.say("enqueue", *chosen, "--yes", "--json")
    assert again.code == 0, again.err
    redone = visit_all(world.settings, again.json["run_id"])
    assert redone.state == "complete"

    # And what is not kept is said, and is left as it is
    back = world.say("restore", again.json["run_id"], "--yes", "--json")
    assert kind.not_kept in back.out + back.err
    assert gaps_of(world) == set()


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_a_repair_that_writes_nothing_is_told(make: Make, kind: Kind) -> None:
    # Given a statement that leaves every row as it is
    world = make(kind)
    (world.place / "daily.sql").write_text(
        f"INSERT INTO s.daily SELECT {kind.column}, store FROM s.orders WHERE FALSE"
        f" AND {kind.within}"
    )

    chosen = ("--redo", "--phases", "daily", "--dates", "2024-01-05")
    run = world.say("enqueue", *chosen, "--yes", "--json").json["run_id"]
    report = visit_all(world.settings, run)
    assert report.state == "failed"
    assert "not recomputed: s.daily on 2024-01-05 is unchanged" in report.model_dump_json()


def test_a_demand_for_a_filter_that_tells_no_day_is_said_by_doctor_and_ends_a_scan(
    make: Make,
) -> None:
    # Given tables by a range of numbers, which are counted by day and ask for those numbers
    world = make(replace(KINDS["by a range of numbers"], needs_filter=True))

    told = world.say("doctor", "--json")
    wrong = {check["what"]: check for check in told.json["checks"] if not check["ok"]}
    assert wrong.keys() >= {"orders: s.orders", "daily: s.daily"}
    scan = world.say("gaps")
    assert scan.code == 3
    assert "filter" in scan.err
