"""The BigQuery warehouse against the REST server: Google's client over real HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

import pytest
from google.cloud.bigquery import Table as Resource

from sql.bigquery import BigQueryWarehouse
from sql.errors import TableNotFound, Unsupported, WarehouseRefused
from sql.labels import job_labels
from sql.local import LocalWarehouse
from sql.partitions import quote_dataset
from sql.warehouse import Condition, Scalar, Table
from tests.bigquery_server.rest import BigQueryServer
from tests.integration.games import REPLACE

START, END = date(2024, 1, 1), date(2024, 1, 10)
GAMES = Table(
    name="raw.games",
    date="game_date",
    entities={"games": "game_id", "teams": "team"},
    where={"final": Condition(one_of=(True,))},
)
INSERT = """
INSERT INTO raw.games
SELECT game_date, CAST(n AS STRING) AS game_id, CAST(MOD(n, 2) AS STRING) AS team, n,
  n / 2 AS score, n < 5 AS final, TIMESTAMP '2024-01-01 12:30:00.000001+00' AS at,
  [CAST(n AS FLOAT64), 0.5] AS odds, NUMERIC '1.25' AS price
FROM UNNEST(GENERATE_DATE_ARRAY(@start_date, @end_date)) AS game_date,
  UNNEST(GENERATE_ARRAY(1, @games)) AS n
"""


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalWarehouse]:
    """Ten dates with five games each, and a table in one piece."""
    warehouse = LocalWarehouse(tmp_path)
    warehouse.run(
        "CREATE TABLE raw.games (game_date DATE NOT NULL, game_id STRING, team STRING, n INT64, "
        "score FLOAT64, final BOOL, at TIMESTAMP, odds ARRAY<FLOAT64>, price NUMERIC) "
        "PARTITION BY game_date",
        {},
    )
    warehouse.run(INSERT, {"start_date": START, "end_date": END, "games": 5})
    warehouse.run("CREATE TABLE raw.teams (team STRING, joined DATE)", {})
    warehouse.run("INSERT INTO raw.teams SELECT 'A' AS team, DATE '2024-01-01' AS joined", {})
    yield warehouse
    warehouse.close()


@pytest.fixture
def server(local: LocalWarehouse, monkeypatch: pytest.MonkeyPatch) -> Iterator[BigQueryServer]:
    with BigQueryServer(local.folder, page_rows=20) as server:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.url)
        yield server


@pytest.fixture
def warehouse(server: BigQueryServer) -> Iterator[BigQueryWarehouse]:
    warehouse = BigQueryWarehouse("nba-props")
    yield warehouse
    warehouse.close()


def test_coverage_is_the_local_warehouses(
    warehouse: BigQueryWarehouse, local: LocalWarehouse
) -> None:
    # Given the same tables behind both
    # When both count the same dates
    counted = warehouse.coverage(GAMES, START, date(2024, 1, 20))

    # Then they agree, and dates without rows are absent
    assert counted == local.coverage(GAMES, START, date(2024, 1, 20))
    assert len(counted) == 10
    assert (counted[START].rows, counted[START].entities) == (4, {"games": 4, "teams": 2})


def test_a_full_name_means_the_same_table(
    warehouse: BigQueryWarehouse, local: LocalWarehouse
) -> None:
    full = Table(name="nba-props.raw.games", date="game_date", entities={"games": "game_id"})
    short = Table(name="raw.games", date="game_date", entities={"games": "game_id"})

    assert warehouse.coverage(full, START, END) == local.coverage(short, START, END)
    assert warehouse.versions(full, START, END) == warehouse.versions(short, START, END)


def test_rows_have_the_values_of_the_local_warehouse(
    warehouse: BigQueryWarehouse, local: LocalWarehouse
) -> None:
    # Given a column of every type, and a parameter of every type
    statement = """
        SELECT * FROM raw.games
        WHERE game_date = @day AND n >= @least AND score < @most AND final = @final
          AND game_id != @other
        ORDER BY n"""
    parameters: dict[str, Scalar] = {
        "day": START,
        "least": 1,
        "most": 9.5,
        "final": True,
        "other": 'it\'s "x"',
    }

    # When read over HTTP, then nothing is lost
    rows = warehouse.rows(statement, parameters)
    assert rows == local.rows(statement, parameters)
    assert [row["n"] for row in rows] == [1, 2, 3, 4]


def test_a_sum_of_integers_is_an_integer_and_null_is_none(warehouse: BigQueryWarehouse) -> None:
    [row] = warehouse.rows("SELECT SUM(n) AS n, MAX(NULL) AS nothing FROM raw.games", {})

    assert row == {"n": 150, "nothing": None}
    assert isinstance(row["n"], int)


def test_more_rows_than_a_page_arrive_in_order(
    warehouse: BigQueryWarehouse, server: BigQueryServer
) -> None:
    # Given 50 rows, and a server that answers 20 at a time
    rows = warehouse.rows("SELECT game_date, n FROM raw.games ORDER BY game_date, n", {})

    # Then all came, over three pages
    assert [row["n"] for row in rows] == [1, 2, 3, 4, 5] * 10
    assert sum("pageToken" in request.query for request in server.requests) == 2


def test_writing_tells_how_many_rows_it_added(
    warehouse: BigQueryWarehouse, local: LocalWarehouse
) -> None:
    days = {"start_date": date(2024, 2, 1), "end_date": date(2024, 2, 2)}
    assert warehouse.run(INSERT, {**days, "games": 3}) == 6
    assert warehouse.run(REPLACE, {"day": START}) == 5
    gone = warehouse.run("DELETE FROM raw.games WHERE game_date = @day", {"day": END})
    assert gone == 0

    counts = local.coverage(Table(name="raw.games", date="game_date"), START, date(2024, 3, 1))
    assert [cell.rows for cell in counts.values()] == [5] * 9 + [3] * 2
    assert local.rows("SELECT MIN(n) AS n FROM raw.games WHERE game_date = @day", {"day": START})[
        0
    ] == {"n": 101}


def test_a_rewrite_changes_the_version_of_its_date_only(warehouse: BigQueryWarehouse) -> None:
    # Given the versions of ten dates
    before = warehouse.versions(GAMES, START, END)
    assert list(before) == [date(2024, 1, day) for day in range(1, 11)]

    # When one date is replaced by as many rows
    warehouse.run(REPLACE, {"day": date(2024, 1, 4)})

    # Then that date's one mark differs, and no other
    after = warehouse.versions(GAMES, START, END)
    assert all(len(marks) == 1 for marks in after.values())
    assert {day for day in before if before[day] != after[day]} == {date(2024, 1, 4)}


def test_versions_are_of_the_dates_asked_for(warehouse: BigQueryWarehouse) -> None:
    some = warehouse.versions(GAMES, date(2024, 1, 9), date(2024, 1, 12))
    assert list(some) == [date(2024, 1, 9), date(2024, 1, 10)]


def test_a_table_in_one_piece_has_one_version(warehouse: BigQueryWarehouse) -> None:
    # Given a table without partitions
    teams = Table(name="raw.teams", date="joined")
    before = warehouse.versions(teams, START, END)
    assert len(before) == 10
    assert len(set(before.values())) == 1

    # When it is written, then every date changes
    warehouse.run("INSERT INTO raw.teams SELECT 'B' AS team, DATE '2024-01-02' AS joined", {})
    after = warehouse.versions(teams, START, END)
    assert all(before[day] != after[day] for day in before)


def test_columns_have_googlesql_types(warehouse: BigQueryWarehouse, local: LocalWarehouse) -> None:
    columns = warehouse.columns("raw.games")

    assert columns == local.columns("raw.games")
    assert (columns["n"], columns["score"], columns["final"]) == ("INT64", "FLOAT64", "BOOL")


def test_every_job_has_labels_limits_and_typed_parameters(server: BigQueryServer) -> None:
    # Given a warehouse with labels that break BigQuery's rules
    warehouse = BigQueryWarehouse(
        "nba-props",
        location="EU",
        labels={"plan_id": "Plan 7/ä", "phase": "p" * 80},
        maximum_bytes_billed=50_000_000,
        job_timeout_seconds=90,
    )

    # When it does everything it can
    warehouse.coverage(GAMES, START, END)
    warehouse.versions(GAMES, START, END)
    warehouse.run(REPLACE, {"day": START})
    warehouse.dry_run_bytes("SELECT @n AS n", {"n": 1})
    warehouse.close()

    # Then every job carries them
    jobs = [request.body for request in server.requests if request.method == "jobs.insert"]
    assert len(jobs) == 4
    for job in jobs:
        assert job["configuration"]["labels"] == {
            "app": "backfill-fleet",
            "plan_id": "plan-7--",
            "phase": "p" * 63,
        }
        assert job["configuration"]["query"]["maximumBytesBilled"] == "50000000"
        assert job["configuration"]["jobTimeoutMs"] == "90000"
        assert job["configuration"]["query"]["useLegacySql"] is False
        assert job["configuration"]["query"]["useQueryCache"] is False
        assert job["jobReference"]["location"] == (  # of its tables, or the one that is set
            "EU" if "SELECT @n" in job["configuration"]["query"]["query"] else "US"
        )
    typed = {
        parameter["name"]: parameter["parameterType"]["type"]
        for parameter in jobs[0]["configuration"]["query"]["queryParameters"]
    }
    assert typed == {"start_date": "DATE", "end_date": "DATE", "filter_0": "BOOL"}


def test_a_dry_run_costs_nothing_and_shrinks_with_the_dates(
    warehouse: BigQueryWarehouse, server: BigQueryServer
) -> None:
    statement = "SELECT game_id FROM raw.games WHERE game_date BETWEEN @start AND @end"

    one = warehouse.dry_run_bytes(statement, {"start": START, "end": START})
    ten = warehouse.dry_run_bytes(statement, {"start": START, "end": END})

    # 5 rows a date, two columns named, 8 bytes each
    assert (one, ten) == (5 * 2 * 8, 50 * 2 * 8)
    assert (server.bytes_processed, server.bytes_billed) == (0, 0)
    warehouse.rows(statement, {"start": START, "end": END})
    assert (server.bytes_processed, server.bytes_billed) == (50 * 2 * 8, 10 * 1024 * 1024)


def test_a_parameter_of_another_type_is_refused_before_any_request(
    warehouse: BigQueryWarehouse, server: BigQueryServer
) -> None:
    with pytest.raises(WarehouseRefused, match="@days is a set: use str, int, float"):
        warehouse.rows("SELECT @days", {"days": {1}})  # type: ignore[dict-item]
    with pytest.raises(WarehouseRefused, match="@days is an empty ARRAY"):
        warehouse.rows("SELECT @days", {"days": []})
    assert server.count() == 0


def test_names_that_are_no_names_never_reach_the_server(
    warehouse: BigQueryWarehouse, server: BigQueryServer
) -> None:
    for name in ("games", "raw.games; DROP TABLE x", "a.b.c.d", "raw.`games`"):
        with pytest.raises(WarehouseRefused, match="is not a table's name"):
            warehouse.columns(name)
        with pytest.raises(WarehouseRefused, match="is not a table's name"):
            quote_dataset(name)
    assert server.count() == 0


def test_a_missing_table_is_not_found_by_any_method(warehouse: BigQueryWarehouse) -> None:
    nowhere = Table(name="raw.nowhere", date="game_date")
    for ask in (
        lambda: warehouse.columns("raw.nowhere"),
        lambda: warehouse.coverage(nowhere, START, END),
        lambda: warehouse.versions(nowhere, START, END),
        lambda: warehouse.rows("SELECT 1 FROM raw.nowhere", {}),
        lambda: warehouse.run("DELETE FROM raw.nowhere WHERE TRUE", {}),
        lambda: warehouse.dry_run_bytes("SELECT 1 FROM raw.nowhere", {}),
    ):
        with pytest.raises(TableNotFound, match=r"raw\.nowhere"):
            ask()


def test_labels_follow_bigquerys_rules() -> None:
    assert job_labels({"Plan ID": "2024-01-31T10:00", "1st": "x", "é": "y"}) == {
        "app": "backfill-fleet",
        "plan-id": "2024-01-31t10-00",
        "st": "x",
    }


def test_a_month_is_the_partition_of_its_dates(
    warehouse: BigQueryWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given what BigQuery says of a table by month, which the local warehouse cannot build
    about = Resource.from_api_repr(
        {
            "tableReference": {"projectId": "p", "datasetId": "raw", "tableId": "games"},
            "type": "TABLE",
            "timePartitioning": {"type": "MONTH", "field": "game_date"},
        }
    )
    written = [
        {
            "table_name": "games",
            "partition_id": f"2024{month}",
            "total_rows": 1,
            "last_modified_time": datetime(2024, 3, 1),
        }
        for month in ("01", "02")
    ]
    monkeypatch.setattr(warehouse.catalog, "table", lambda name: about)
    monkeypatch.setattr(warehouse, "rows", lambda statement, parameters: written)

    # When versions are asked for across three months, then each date has its month's
    versions = warehouse.versions(GAMES, date(2024, 1, 31), date(2024, 3, 2))
    assert set(versions) == {date(2024, 1, 31)} | {date(2024, 2, day) for day in range(1, 30)}


def test_a_view_has_no_versions(
    warehouse: BigQueryWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    about = Resource.from_api_repr(
        {
            "tableReference": {"projectId": "p", "datasetId": "raw", "tableId": "games"},
            "type": "MATERIALIZED_VIEW",
        }
    )
    monkeypatch.setattr(warehouse.catalog, "table", lambda name: about)

    with pytest.raises(
        Unsupported, match=r"is a materialized view.*counts alone decide.*Name the table it reads"
    ):
        warehouse.versions(GAMES, START, END)
