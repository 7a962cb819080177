"""Sources whose date is a moment, a shard's name or the day of loading: by day, or refused."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import redis

from planner.doctor.tables import check_tables
from planner.gaps.survey import survey
from planner.pipeline.load import load_pipeline
from planner.pipeline.windows import Window
from planner.plan.states import RunState, StepState
from planner.settings import Settings
from sql.bigquery import BigQueryWarehouse
from sql.local import LocalWarehouse
from sql.warehouse import Table
from tests.bigquery_server.rest import BigQueryServer
from tests.commands import Done, here, impatient
from worker.context import Context
from worker.run.plan import Wanted, plan_gaps
from worker.step.visit import visit

FIRST, LAST = date(2026, 3, 1), date(2026, 3, 12)
SPAN = ("--start", str(FIRST), "--end", str(LAST))
LOST = date(2026, 3, 11)

PIPELINE = """
name = "shop"
timezone = "{zone}"
seasons = [{{ name = "2026", year = 2026, start = 2026-03-01, end = 2026-03-12 }}]
[[phases]]
name = "sales"
tables = [{{ name = "{table}", date = "{column}", entities = {{ sale = "sale" }} }}]
[[phases]]
name = "daily"
after = ["sales"]
tables = [{{ name = "m.daily", date = "day", entities = {{ sale = "sale" }} }}]
runners = [{{ kind = "sql", statements = ["daily"] }}]
"""

SALES = {
    "DATE": "day",
    "DATETIME": "DATETIME_ADD(DATETIME(day), INTERVAL 1410 MINUTE)",
    "TIMESTAMP": "TIMESTAMP(DATETIME_ADD(DATETIME(day), INTERVAL 1410 MINUTE), '{zone}')",
    "STRING": "CAST(day AS STRING)",
}
"""Half past eleven at night, by what the column is: of a TIMESTAMP, by the clocks of the zone."""
DAYS = "FROM UNNEST(GENERATE_DATE_ARRAY(@start_date, @end_date)) AS day"

Say = Callable[..., Done]


class Shop:
    """A source of one sale a day, and a mart that lost one of its days."""

    def __init__(self, place: Path, kind: str, zone: str) -> None:
        self.place = place
        self.warehouse = LocalWarehouse(place / "warehouse")
        (place / "warehouse").mkdir()
        (place / "daily.sql").write_text("DELETE FROM m.daily WHERE FALSE")
        self.run("CREATE TABLE m.daily (day DATE, sale STRING) PARTITION BY day")
        table, column = "s.sales", "sold"
        match kind:
            case "SHARDS":
                table, column = "s.sales_*", "_TABLE_SUFFIX"
                for n in range((LAST - FIRST).days + 1):
                    self._shard(f"{FIRST + timedelta(days=n):%Y%m%d}", str(FIRST + timedelta(n)))
                self._shard("intraday_20260312", "more")
                self._shard("2026", "a year")
                self._shard("20260399", "no day")
            case "LOADED":
                table, column = "s.sales", "_PARTITIONDATE"
                self.run(f"CREATE TABLE {table} ({column} DATE, sale STRING) PARTITION BY {column}")
                self._sales(table, f"day AS {column}")
            case _:
                by = " PARTITION BY sold" if kind == "DATE" else ""
                self.run(f"CREATE TABLE {table} (sold {kind}, sale STRING){by}")
                self._sales(table, f"{SALES[kind].format(zone=zone)} AS sold")
        self._sales("m.daily", "day")
        self.run("DELETE FROM m.daily WHERE day = @day", day=LOST)
        written = PIPELINE.format(zone=zone, table=table, column=column)
        (place / "shop.toml").write_text(written)

    def run(self, statement: str, **parameters: date) -> None:
        self.warehouse.run(statement, parameters)

    def _sales(self, table: str, column: str) -> None:
        self.run(
            f"INSERT INTO {table} SELECT {column}, CAST(day AS STRING) AS sale {DAYS}",
            start_date=FIRST,
            end_date=LAST,
        )

    def _shard(self, suffix: str, sale: str) -> None:
        self.run(f"CREATE TABLE s.sales_{suffix} (sale STRING)")
        self.run(f"INSERT INTO s.sales_{suffix} SELECT '{sale}' AS sale")


@pytest.fixture(params=["local", "bigquery"])
def say(request: pytest.FixtureRequest) -> Iterator[Say]:
    """A command as a user types it: for the shop, in the local warehouse and in BigQuery."""
    with ExitStack() as stack:

        def run(shop: Shop, *arguments: str) -> Done:
            folder = shop.place / "warehouse"
            environment = {
                **{name: value for name, value in os.environ.items() if "BACKFILL" not in name},
                "BACKFILL_PIPELINE": str(shop.place / "shop.toml"),
                "BACKFILL_HOME": str(shop.place / "home"),
                "BACKFILL_BROKER_URL": "redis://127.0.0.1:1/0",
                "BACKFILL_WAREHOUSE": f"local:{folder}",
                "BACKFILL_HISTORY_DATASET": os.environ.get("HISTORY", ""),
            }
            if request.param == "bigquery":
                server = stack.enter_context(BigQueryServer(folder))
                environment["BIGQUERY_EMULATOR_HOST"] = server.url
                environment["BACKFILL_WAREHOUSE"] = "bigquery:p"
            return here(*arguments, environment=environment, cwd=shop.place, before=impatient)

        yield run


@pytest.mark.parametrize(
    ("kind", "zone"),
    [
        ("DATE", "America/New_York"),
        ("DATETIME", "America/New_York"),
        ("TIMESTAMP", "UTC"),
        ("TIMESTAMP", "America/New_York"),
        ("TIMESTAMP", "Asia/Tokyo"),
        ("SHARDS", "America/New_York"),
        ("LOADED", "UTC"),
    ],
)
@pytest.mark.quick(
    "local-TIMESTAMP-America/New_York",
    "local-SHARDS-America/New_York",
    "bigquery-DATETIME-America/New_York",
    "bigquery-SHARDS-America/New_York",
    "bigquery-LOADED-UTC",
)
def test_a_source_is_counted_by_day(tmp_path: Path, say: Say, kind: str, zone: str) -> None:
    shop = Shop(tmp_path, kind, zone)

    found = say(shop, "gaps", *SPAN, "--json")
    planned = say(shop, "plan", *SPAN, "--json")
    checked = say(shop, "doctor")

    # Then the one date that the mart lost is the one gap, with its id
    (gap,) = found.json["gaps"]
    assert (gap["phase"], gap["date"], gap["reason"]) == ("daily", str(LOST), "missing")
    assert [phase["expected"] for phase in found.json["phases"]] == [12, 12]
    assert [chunk["id"] for chunk in planned.json["chunks"]] == [str(LOST)]
    assert [line for line in checked.out.splitlines() if "✗ sales" in line] == []


@pytest.mark.quick("local")
def test_what_has_no_days_is_refused_by_every_command_alike(tmp_path: Path, say: Say) -> None:
    shop = Shop(tmp_path, "STRING", "UTC")
    why = "s.sales is counted by 'sold', which is a STRING: name a DATE, DATETIME or TIMESTAMP"

    for arguments in (("gaps", *SPAN), ("plan", *SPAN), ("validate", *SPAN)):
        done = say(shop, *arguments)
        assert done.code == 3
        assert why in " ".join(done.err.split())
        assert "missing" not in done.out
    (line,) = [each for each in say(shop, "doctor").out.splitlines() if "✗ sales" in each]
    assert why in line


@pytest.mark.quick("local")
def test_what_has_no_days_is_refused_though_the_table_is_empty(tmp_path: Path, say: Say) -> None:
    shop = Shop(tmp_path, "STRING", "UTC")
    shop.run("DELETE FROM s.sales WHERE TRUE")

    done = say(shop, "gaps", *SPAN)

    assert done.code == 3
    assert "which is a STRING" in " ".join(done.err.split())


@pytest.mark.quick("local")
def test_validate_counts_moments_too(tmp_path: Path, say: Say) -> None:
    done = say(Shop(tmp_path, "TIMESTAMP", "America/New_York"), "validate", *SPAN, "--json")

    assert done.code == 1
    (row,) = done.json["answers"]["gaps"]
    assert row["date"] == str(LOST)


@pytest.mark.parametrize(
    ("zone", "change"),
    [
        ("America/New_York", date(2026, 3, 8)),
        ("America/New_York", date(2026, 11, 1)),
        ("America/Havana", date(2026, 3, 8)),  # has no midnight
        ("America/Havana", date(2026, 11, 1)),  # has two
        ("Asia/Beirut", date(2026, 3, 29)),
        ("Australia/Lord_Howe", date(2026, 4, 5)),
        ("Pacific/Kiritimati", date(2026, 3, 8)),
    ],
)
@pytest.mark.quick(0, 2, 3, 5)
def test_days_around_a_change_of_clocks_hold_what_they_should(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, zone: str, change: date
) -> None:
    # Given a row for every half hour of five days
    local = LocalWarehouse(tmp_path)
    local.run("CREATE TABLE s.moments (at TIMESTAMP)", {})
    begin = datetime.combine(change - timedelta(days=2), datetime.min.time(), UTC)
    moments = [begin + timedelta(minutes=30 * n) for n in range(5 * 48)]
    local.run(
        "INSERT INTO s.moments SELECT at FROM UNNEST(GENERATE_TIMESTAMP_ARRAY("
        "TIMESTAMP(@start_date), TIMESTAMP(@end_date), INTERVAL 30 MINUTE)) AS at "
        "WHERE at < TIMESTAMP(@end_date)",
        {"start_date": begin.date(), "end_date": begin.date() + timedelta(days=5)},
    )
    table = Table(name="s.moments", date="at", zone=zone)
    with BigQueryServer(tmp_path) as server:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.url)
        bigquery = BigQueryWarehouse("p")

        # Then each day alone holds those that the zone's clocks say
        for day in (change - timedelta(days=1), change, change + timedelta(days=1)):
            due = sum(at.astimezone(ZoneInfo(zone)).date() == day for at in moments)
            for warehouse in (local, bigquery):
                found = warehouse.coverage(table, day, day)
                assert {each: cell.rows for each, cell in found.items()} == {day: due}
        bigquery.close()
    local.close()


def test_a_table_that_is_loaded_by_day_has_records_and_versions_by_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(tmp_path, "LOADED", "UTC")
    table = Table(name="s.sales", date="_PARTITIONDATE")
    with BigQueryServer(tmp_path / "warehouse") as server:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.url)
        warehouse = BigQueryWarehouse("p")
        before = warehouse.versions(table, FIRST, LAST)
        shop.run(f"INSERT INTO s.sales SELECT DATE '{LOST}' AS _PARTITIONDATE, 'x' AS sale")
        after = warehouse.versions(table, FIRST, LAST)
        by_day = warehouse.partitions([table], FIRST, LAST)["s.sales"].by_day

        assert {day for day in before if before[day] != after[day]} == {LOST}
        assert by_day is not None
        assert by_day[LOST].rows == 2
        assert warehouse.columns("s.sales") == {"sale": "STRING", "_PARTITIONDATE": "DATE"}
        pipeline = load_pipeline(str(tmp_path / "shop.toml"))
        (check, _) = check_tables(warehouse, pipeline, today=LAST)
        assert (check.ok, check.detail) == (True, "by _PARTITIONDATE")
        warehouse.close()


@pytest.mark.quick("local")
def test_a_list_of_dates_is_all_that_gaps_and_plan_see(tmp_path: Path, say: Say) -> None:
    shop = Shop(tmp_path, "DATE", "UTC")
    shop.run("DELETE FROM m.daily WHERE day < DATE '2026-03-09'")
    dates = ("--dates", "2026-03-01..2026-03-02,2026-03-09, 2026-03-11")

    found = say(shop, "gaps", *dates, "--json")
    planned = say(shop, "plan", *dates, "--json")

    assert [gap["date"][-2:] for gap in found.json["gaps"]] == ["01", "02", "11"]
    assert [(each["expected"], each["complete"]) for each in found.json["phases"]] == [
        (4, 4),
        (4, 1),
    ]
    assert [chunk["id"][-2:] for chunk in planned.json["chunks"]] == ["01", "02", "11"]
    for wrong, why in (
        (("--dates", "2026-03-02..2026-03-01"), "is reversed"),
        ((*dates, "--season", "2026"), "not both"),
        (("--dates", "2999-01-01"), "in the future"),
    ):
        done = say(shop, "gaps", *wrong)
        assert done.code == 2
        assert why in " ".join(done.err.replace("│", " ").split())


@pytest.mark.quick("local")
def test_gaps_that_a_list_of_dates_passes_over_are_not_recorded_as_healed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, say: Say
) -> None:
    monkeypatch.setenv("HISTORY", "ops")
    shop = Shop(tmp_path, "DATE", "UTC")
    shop.run("DELETE FROM m.daily WHERE day = DATE '2026-03-05'")
    assert say(shop, "history", "--create").code == 0

    say(shop, "gaps", *SPAN, "--record")
    done = say(shop, "gaps", "--dates", "2026-03-04,2026-03-06,2026-03-11", "--record")

    assert "2026-03-04, 2026-03-06, 2026-03-11" in " ".join(done.out.split())
    rows = shop.warehouse.rows("SELECT date, status FROM ops.data_gaps ORDER BY date", {})
    assert [(str(row["date"]), row["status"]) for row in rows] == [
        ("2026-03-05", "open"),
        (str(LOST), "open"),
    ]


@pytest.mark.quick("local")
def test_dates_that_a_plan_leaves_out_are_told(tmp_path: Path, say: Say) -> None:
    shop = Shop(tmp_path, "DATE", "UTC")
    shop.run("DELETE FROM m.daily WHERE day < DATE '2026-03-04'")

    done = say(shop, "plan", *SPAN, "--exclude", "2026-03-01..2026-03-02,2026-03-11", "--json")

    assert [chunk["id"] for chunk in done.json["chunks"]] == ["2026-03-03"]
    left = [(each["date"], each["reason"]) for each in done.json["skipped"]]
    assert left == [(f"2026-03-{day}", "left_out") for day in ("01", "02", "11")]


def test_a_run_repairs_what_moments_show_to_be_missing(
    tmp_path: Path, client: redis.Redis, redis_settings: Settings
) -> None:
    # Given a source of moments late in the evening, and a mart that has them by day
    shop = Shop(tmp_path, "TIMESTAMP", "America/New_York")
    (tmp_path / "daily.sql").write_text(
        "INSERT INTO m.daily SELECT DATE(sold, 'America/New_York') AS day, sale FROM s.sales "
        "WHERE DATE(sold, 'America/New_York') BETWEEN @start_date AND @end_date"
    )
    settings = Settings(
        _env_file=None,  # type: ignore[call-arg]
        warehouse=f"local:{tmp_path / 'warehouse'}",
        pipeline=str(tmp_path / "shop.toml"),
        broker_url=redis_settings.redis_url,
        home=tmp_path / "home",
    )
    shop.warehouse.identify()
    context = Context(settings, patient=False)
    scope = Window(start=FIRST, end=LAST)
    wanted = Wanted(scope=scope, phases=["daily"])

    # When the plan's step is run: its gate, its statement and its recount
    plan = plan_gaps(
        context, survey(context.warehouse, context.pipeline, scope), wanted, ledger=context.ledger
    )
    context.ledger.register("run-x", plan)
    context.ledger.move("run-x", RunState.RUNNING, [RunState.INCOMPLETE])
    (step,) = [step for step, _ in plan.steps()]
    assert step == f"{LOST}/daily"
    visit(context, "run-x", step, worker="me")

    # Then it succeeds, and nothing is left to do
    assert context.ledger.steps("run-x") == {step: StepState.SUCCEEDED}
    assert survey(context.warehouse, context.pipeline, scope).gaps["daily"] == {}


WEEKLY = """
[[phases]]
name = "weekly"
after = ["sales"]
every = "week"
dated = "last"
tables = [{ name = "m.weekly", date = "day", entities = { sale = "sale" } }]
runners = [{ kind = "sql", statements = ["daily"] }]
[[exclude]]
from = { table = "s.halts", date = "since", until = "until" }
phases = ["daily"]
reason = "stocktaking"
"""


@pytest.mark.parametrize("kind", ["DATE", "DATETIME", "TIMESTAMP", "SHARDS"])
@pytest.mark.quick("local-TIMESTAMP")
def test_weeks_hold_the_moments_of_their_days(tmp_path: Path, say: Say, kind: str) -> None:
    # Given weeks until the 1st and the 8th by the clocks of New York, of which one lost a sale
    shop = Shop(tmp_path, kind, "America/New_York")
    with (tmp_path / "shop.toml").open("a") as file:
        file.write(WEEKLY)
    shop.run("CREATE TABLE m.weekly (day DATE, sale STRING) PARTITION BY day")
    for week, first in ((date(2026, 3, 1), FIRST), (date(2026, 3, 8), date(2026, 3, 2))):
        shop.run(
            f"INSERT INTO m.weekly SELECT @week AS day, CAST(day AS STRING) AS sale {DAYS}",
            week=week,
            start_date=first,
            end_date=week,
        )
    shop.run("DELETE FROM m.weekly WHERE sale = '2026-03-08'")
    # And a halt, told in moments, on the day that the mart lost
    moments = SALES["TIMESTAMP"].format(zone="America/New_York")
    shop.run("CREATE TABLE s.halts (since TIMESTAMP, until TIMESTAMP)")
    shop.run(
        f"INSERT INTO s.halts SELECT {moments} AS since, {moments} AS until {DAYS}",
        start_date=LOST,
        end_date=LOST,
    )

    found = say(shop, "gaps", *SPAN, "--json")

    (gap,) = found.json["gaps"]
    assert (gap["phase"], gap["date"]) == ("weekly", "2026-03-08")
    assert (gap["expected"], gap["found"]) == (7, 6)
    assert gap["findings"][0]["ids"] == ["2026-03-08"]
    left = [(each["phase"], each["date"], each["reason"]) for each in found.json["empty"]]
    assert ("daily", str(LOST), "excluded") in left


def test_a_mart_of_moments_has_one_version(tmp_path: Path) -> None:
    """Delta has no version of a day where the table is cut up by moments."""
    local = LocalWarehouse(tmp_path)
    local.run("CREATE TABLE s.moments (at TIMESTAMP, sale STRING) PARTITION BY at", {})
    local.run(
        "INSERT INTO s.moments SELECT TIMESTAMP '2026-03-02 03:00:00+00' AS at, 'x' AS sale", {}
    )
    table = Table(name="s.moments", date="at", zone="America/New_York")

    assert {day: cell.rows for day, cell in local.coverage(table, FIRST, LAST).items()} == {
        FIRST: 1
    }
    assert local.partitions([table], FIRST, LAST)["s.moments"].by_day is None
    versions = local.versions(table, FIRST, LAST)
    assert len(set(versions.values())) == 1
    assert versions[FIRST]


@pytest.mark.quick("local")
def test_a_printed_question_says_what_it_takes_dates_for(tmp_path: Path, say: Say) -> None:
    done = say(Shop(tmp_path, "SHARDS", "UTC"), "validate", *SPAN, "--print", "counts")

    assert "Date columns are taken for DATEs here." in done.out
    assert "_TABLE_SUFFIX BETWEEN FORMAT_DATE('%Y%m%d', @start_date)" in done.out
