"""What BigQuery keeps by copy jobs, and how it is put back: Google's client over real HTTP."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sql.bigquery import BigQueryWarehouse
from sql.errors import KeptExpired, Unsupported, WarehouseRefused, WarehouseUnreachable
from sql.keeping import are_equal, put_back, whole
from sql.local import LocalWarehouse
from sql.warehouse import Table
from tests.bigquery_server.faults import Fault
from tests.bigquery_server.rest import BigQueryServer

RUN = "run-20240201-abcdef"
KEPT = "safe.run_20240201_abcdef__raw_games"
DAYS = [date(2024, 1, 1) + timedelta(days=n) for n in range(4)]
GAMES = Table(name="raw.games", date="day", entities={"game": "game"})
FILL = """
INSERT INTO raw.games SELECT day, CAST(n AS STRING) AS game, n / 3 AS score,
  TIMESTAMP '2024-01-01 12:30:00.000001+00' AS at, NUMERIC '1.25' AS price
FROM UNNEST(GENERATE_DATE_ARRAY(@first, @last)) AS day, UNNEST(GENERATE_ARRAY(1, 3)) AS n
"""


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalWarehouse]:
    warehouse = LocalWarehouse(tmp_path)
    warehouse.run(
        "CREATE TABLE raw.games (day DATE NOT NULL, game STRING, score FLOAT64, at TIMESTAMP, "
        "price NUMERIC) PARTITION BY day",
        {},
    )
    warehouse.run(FILL, {"first": DAYS[0], "last": DAYS[2]})
    warehouse.run("CREATE TABLE raw.teams (team STRING, day DATE)", {})
    yield warehouse
    warehouse.close()


@pytest.fixture
def server(local: LocalWarehouse, monkeypatch: pytest.MonkeyPatch) -> Iterator[BigQueryServer]:
    datasets = {"safe": "US", "far": "EU"}
    with BigQueryServer(local.folder, locations=datasets) as server:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.url)
        yield server


@pytest.fixture
def warehouse(server: BigQueryServer) -> Iterator[BigQueryWarehouse]:
    warehouse = BigQueryWarehouse("shop", retry_seconds=2)
    yield warehouse
    warehouse.close()


def rows(warehouse: BigQueryWarehouse) -> list[tuple[Any, ...]]:
    found = warehouse.rows("SELECT * FROM raw.games", {})
    return sorted(tuple(row.values()) for row in found)


def test_partitions_are_copied_and_put_back_row_for_row(
    warehouse: BigQueryWarehouse, server: BigQueryServer
) -> None:
    before, billed = rows(warehouse), server.bytes_billed
    keeper = warehouse.labelled(plan_id="p1").keeper(dataset="safe", days=14)
    places = keeper.keep(GAMES, DAYS[:2], RUN)
    assert places == dict.fromkeys(DAYS[:2], KEPT)
    assert server.bytes_billed == billed  # copies are no queries

    warehouse.run("DELETE FROM raw.games WHERE day = @day", {"day": DAYS[0]})
    warehouse.run(FILL, {"first": DAYS[1], "last": DAYS[1]})
    warehouse.run(FILL, {"first": DAYS[3], "last": DAYS[3]})
    sources = keeper.sources(GAMES, places, RUN)
    assert are_equal(warehouse, GAMES, sources, DAYS[:2]) == frozenset()

    # The last date held nothing
    put_back(warehouse, GAMES, sources, [*DAYS[:2], DAYS[3]])

    assert rows(warehouse) == before
    assert are_equal(warehouse, GAMES, sources, [*DAYS[:2], DAYS[3]]) == {*DAYS[:2], DAYS[3]}
    made = next(each for each in server.requests if each.method == "tables.insert").body
    expires = datetime.fromtimestamp(int(made["expirationTime"]) / 1000, UTC)
    assert timedelta(days=13) < expires - datetime.now(UTC) <= timedelta(days=14)
    labels = [
        each.body["configuration"]["labels"]
        for each in server.requests
        if "copy" in each.body.get("configuration", {})
    ]
    assert labels == [{"app": "backfill-fleet", "plan_id": "p1"}] * 2


def test_what_was_kept_is_not_written_over_by_what_came_later(
    warehouse: BigQueryWarehouse,
) -> None:
    keeper = warehouse.keeper(dataset="safe", days=14)
    keeper.keep(GAMES, DAYS[:1], RUN)
    before = rows(warehouse)
    warehouse.run(FILL, {"first": DAYS[0], "last": DAYS[0]})

    places = keeper.keep(GAMES, DAYS[:1], RUN)
    put_back(warehouse, GAMES, keeper.sources(GAMES, places, RUN), DAYS[:1])

    assert rows(warehouse) == before


def test_a_dataset_elsewhere_is_refused_before_anything_is_written(
    warehouse: BigQueryWarehouse, server: BigQueryServer
) -> None:
    with pytest.raises(
        WarehouseRefused, match=r"raw.games is in US and far, .* in EU: .*--no-keep"
    ):
        warehouse.keeper(dataset="far", days=14).prepare([GAMES])
    with pytest.raises(WarehouseRefused, match="There is no dataset nowhere to keep rows in"):
        warehouse.keeper(dataset="nowhere", days=14).prepare([GAMES])
    warehouse.keeper(dataset="safe", days=14).prepare([GAMES])

    assert server.count("jobs.insert") == 0


def test_copies_that_have_expired_are_told(
    warehouse: BigQueryWarehouse, local: LocalWarehouse
) -> None:
    keeper = warehouse.keeper(dataset="safe", days=14)
    places = keeper.keep(GAMES, DAYS[:2], RUN)
    shutil.rmtree(local.folder / "safe")

    with pytest.raises(KeptExpired, match=f"{KEPT}.* has expired.*--dates"):
        keeper.sources(GAMES, places, RUN)


@pytest.mark.parametrize(
    "forged",
    [
        "raw.teams",
        "raw.games",
        "far.run_20240201_abcdef__raw_games",
        "elsewhere.safe.run_20240201_abcdef__raw_games",
        "safe.run_20240201_abcdef__raw_teams",
        "safe.another_run__raw_games",
        "safe.run_20240201_abcdef__raw_games`; DROP TABLE raw.games; --",
        "",
    ],
)
def test_a_place_at_which_the_run_kept_nothing_is_not_read(
    warehouse: BigQueryWarehouse, server: BigQueryServer, forged: str
) -> None:
    keeper = warehouse.keeper(dataset="safe", days=14)
    places = keeper.keep(GAMES, DAYS[:2], RUN)
    asked = len(server.requests)

    with pytest.raises(WarehouseRefused, match="so it is not read"):
        keeper.sources(GAMES, {**places, DAYS[1]: forged}, RUN)

    assert len(server.requests) == asked


def test_a_table_that_is_not_partitioned_by_its_date_is_not_kept(
    warehouse: BigQueryWarehouse,
) -> None:
    teams = whole(Table(name="raw.teams", date="day"))

    with pytest.raises(Unsupported, match="raw.teams is not partitioned by the day of day"):
        warehouse.keeper(dataset="safe", days=14).keep(teams, DAYS[:1], RUN)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [("accessDenied", WarehouseRefused), ("quotaExceeded", WarehouseUnreachable)],
)
def test_a_copy_that_fails_is_an_error(
    warehouse: BigQueryWarehouse,
    server: BigQueryServer,
    reason: str,
    expected: type[Exception],
) -> None:
    fault = Fault(reason=reason, message="No.")
    server.fail(fault.within_job(), on="jobs.insert")

    with pytest.raises(expected):
        warehouse.keeper(dataset="safe", days=14).keep(GAMES, DAYS[:1], RUN)


@pytest.mark.parametrize(
    ("mark", "now", "is_since"),
    [
        ("2024-02-01T10:00:00+00:00 3", "2024-02-01T10:00:00+00:00 3", False),
        # The records still told of before when the mark was noted
        ("2024-01-01T10:00:00+00:00 3", "2024-02-01T11:59:00+00:00 3", False),
        ("2024-02-01T10:00:00+00:00 3", "2024-02-01T12:00:01+00:00 3", True),
        ("2024-02-01T10:00:00+00:00 3", "", False),
    ],
)
def test_what_was_written_since_is_told_by_the_time_of_the_last_write(
    warehouse: BigQueryWarehouse, mark: str, now: str, is_since: bool
) -> None:
    noted = datetime(2024, 2, 1, 12, 0, 0, tzinfo=UTC)

    assert warehouse.keeper(dataset="safe", days=1).is_since(mark, noted, now) is is_since
