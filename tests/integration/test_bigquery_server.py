"""The REST server itself, asked without the warehouse in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from sql.local import LocalWarehouse
from tests.bigquery_server.faults import UNAVAILABLE
from tests.bigquery_server.rest import BigQueryServer

FILL = """
INSERT INTO raw.games
SELECT d, n FROM UNNEST(GENERATE_DATE_ARRAY('2024-01-01', '2024-01-03')) AS d,
  UNNEST(GENERATE_ARRAY(1, 4)) AS n
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[BigQueryServer]:
    local = LocalWarehouse(tmp_path)
    local.run("CREATE TABLE raw.games (d DATE NOT NULL, n INT64) PARTITION BY d", {})
    local.run(FILL, {})
    local.close()
    with BigQueryServer(tmp_path, page_rows=5) as server:
        yield server


def connected(server: BigQueryServer) -> bigquery.Client:
    return bigquery.Client(
        project="p",
        credentials=AnonymousCredentials(),  # type: ignore[no-untyped-call]
        client_options={"api_endpoint": server.url},
    )


@pytest.fixture
def client(server: BigQueryServer) -> Iterator[bigquery.Client]:
    with connected(server) as client:
        yield client


def ask(url: str, method: str = "GET", body: dict[str, Any] | None = None) -> tuple[int, Any]:
    """One plain request: status, and the JSON that came back."""
    data = json.dumps(body).encode() if body is not None else None
    request = urllib.request.Request(url, data, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_what_it_does_not_know_is_501_and_remembered(server: BigQueryServer) -> None:
    server.expect_unknown = True
    # When something is asked for that it does not serve
    status, answer = ask(f"{server.url}/bigquery/v2/projects/p/datasets/raw/routines")

    # Then it says so, and remembers it
    assert status == 501
    assert answer["error"]["errors"][0]["reason"] == "notImplemented"
    assert server.unknown == ["GET /bigquery/v2/projects/p/datasets/raw/routines"]


def test_what_it_does_not_know_fails_the_test_that_asked(tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match=r"does not know: GET /bigquery/v2/nothing"),
        BigQueryServer(tmp_path) as server,
    ):
        ask(f"{server.url}/bigquery/v2/nothing")

    # But not in place of what it fails with already
    with pytest.raises(KeyError, match="routines"), BigQueryServer(tmp_path) as server:
        ask(f"{server.url}/bigquery/v2/nothing")[1]["routines"]

    with BigQueryServer(tmp_path, expect_unknown=True) as server:
        ask(f"{server.url}/bigquery/v2/nothing")


def test_a_statement_it_cannot_run_is_remembered_too(
    server: BigQueryServer, client: bigquery.Client
) -> None:
    server.expect_unknown = True
    with pytest.raises(Exception, match="does not run UPDATE"):
        client.query("UPDATE raw.games SET n = 1 WHERE TRUE", job_retry=None).result()
    assert len(server.unknown) == 1
    assert "UPDATE" in server.unknown[0]


def test_jobs_query_answers_at_once_and_pages(
    server: BigQueryServer, client: bigquery.Client
) -> None:
    # Given the client's other way to ask, which this product does not use and its users may
    rows = list(client.query_and_wait("SELECT n FROM raw.games ORDER BY n"))

    assert [row["n"] for row in rows] == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4]
    assert (server.count("jobs.query"), server.count("jobs.getQueryResults")) == (1, 2)


def test_values_are_written_as_bigquery_writes_them(server: BigQueryServer) -> None:
    _, answer = ask(
        f"{server.url}/bigquery/v2/projects/p/queries",
        "POST",
        {
            "query": "SELECT 7 AS i, 1.5 AS f, TRUE AS b, DATE '2024-01-31' AS d, 'x' AS s, "
            "CAST(NULL AS INT64) AS none, [1, 2] AS a, NUMERIC '2.50' AS m, "
            "TIMESTAMP '2024-01-01 00:00:00.000001+00' AS t, STRUCT(1 AS x) AS r",
            "useLegacySql": False,
            "formatOptions": {"useInt64Timestamp": True},
        },
    )

    assert [cell["v"] for cell in answer["rows"][0]["f"]] == [
        "7",
        "1.5",
        "true",
        "2024-01-31",
        "x",
        None,
        [{"v": "1"}, {"v": "2"}],
        "2.5",
        "1704067200000001",
        {"f": [{"v": "1"}]},
    ]
    assert [field["type"] for field in answer["schema"]["fields"]] == [
        "INTEGER",
        "FLOAT",
        "BOOLEAN",
        "DATE",
        "STRING",
        "INTEGER",
        "INTEGER",
        "NUMERIC",
        "TIMESTAMP",
        "RECORD",
    ]


def test_partitions_are_those_of_the_log(client: bigquery.Client) -> None:
    rows = client.query_and_wait(
        "SELECT table_name, partition_id, total_rows FROM `p`.raw.INFORMATION_SCHEMA.PARTITIONS "
        "ORDER BY partition_id"
    )

    assert [tuple(row.values()) for row in rows] == [
        ("games", "20240101", 4),
        ("games", "20240102", 4),
        ("games", "20240103", 4),
    ]


def test_a_table_says_how_it_is_partitioned(client: bigquery.Client) -> None:
    table = client.get_table("raw.games")

    assert table.time_partitioning is not None
    assert (table.time_partitioning.type_, table.time_partitioning.field) == ("DAY", "d")
    assert [(f.name, f.field_type, f.mode) for f in table.schema] == [
        ("d", "DATE", "REQUIRED"),
        ("n", "INTEGER", "NULLABLE"),
    ]
    assert table.num_rows == 12


@pytest.mark.parametrize(
    ("where", "rows"),
    [
        ("", 12),
        ("WHERE d = '2024-01-02'", 4),
        ("WHERE d BETWEEN @first AND '2024-01-02' AND n > 1", 8),
        ("WHERE d IN ('2024-01-01', '2024-01-03')", 8),
        ("WHERE n > 1 OR d = '2024-01-02'", 12),
        ("WHERE d > (SELECT DATE '2024-01-02')", 12),
    ],
)
def test_bytes_are_those_of_the_partitions_asked_for(
    client: bigquery.Client, where: str, rows: int
) -> None:
    job = client.query(
        f"SELECT d, n FROM raw.games {where}",
        bigquery.QueryJobConfig(
            dry_run=True,
            query_parameters=[
                bigquery.ScalarQueryParameter("first", "DATE", date(2024, 1, 1)),
            ],
        ),
    )
    assert job.total_bytes_processed == rows * 2 * 8


def test_dml_statistics_count_both_ways(client: bigquery.Client) -> None:
    job = client.query(
        "MERGE raw.games USING (SELECT DATE '2024-01-02' AS d, 9 AS n) ON FALSE "
        "WHEN NOT MATCHED BY SOURCE AND d = '2024-01-02' THEN DELETE "
        "WHEN NOT MATCHED BY TARGET THEN INSERT ROW"
    )
    job.result()

    assert job.dml_stats is not None
    assert (job.dml_stats.inserted_row_count, job.dml_stats.deleted_row_count) == (1, 4)
    assert job.num_dml_affected_rows == 5


def test_many_clients_at_once_are_served(server: BigQueryServer) -> None:
    # Given six writers and readers of different dates, each on its own connection
    failures: list[BaseException] = []

    def work(n: int) -> None:
        client = connected(server)
        try:
            client.query_and_wait(
                f"INSERT INTO raw.games SELECT DATE '2024-02-0{n}' AS d, {n} AS n"
            )
            [row] = client.query_and_wait(
                f"SELECT SUM(n) AS n FROM raw.games WHERE d = '2024-02-0{n}'"
            )
            assert row["n"] == n
        except BaseException as error:
            failures.append(error)
        finally:
            client.close()  # type: ignore[no-untyped-call]

    threads = [threading.Thread(target=work, args=(n,)) for n in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []


def test_a_fault_is_met_as_often_as_asked(server: BigQueryServer) -> None:
    server.fail(UNAVAILABLE, on="tables.get", times=2)
    url = f"{server.url}/bigquery/v2/projects/p/datasets/raw/tables/games"

    assert [ask(url)[0] for _ in range(3)] == [503, 503, 200]


def test_it_runs_as_a_process_of_its_own(server: BigQueryServer) -> None:
    # Given the command line
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.bigquery_server.rest",
            "--folder",
            server.folder,
            "--port",
            "0",
        ],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    with process:
        # When it has printed its address, then it answers there
        url = process.stdout.readline().strip()
        status, table = ask(f"{url}/bigquery/v2/projects/p/datasets/raw/tables/games")
        assert (status, table["numRows"]) == (200, "12")

        # And Ctrl-C ends it without a traceback
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=10) == 0
