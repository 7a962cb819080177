"""What becomes of BigQuery's jobs: lost answers, cancels that fail, queues, locations, lies."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from sql.bigquery import BigQueryWarehouse
from sql.errors import BadAnswer, LostWrite, NeverStarted, TableNotFound, WarehouseUnreachable
from sql.local import LocalWarehouse
from sql.warehouse import Table
from tests.bigquery_server.faults import (
    ENDLESS,
    FEWER,
    GATEWAY_TIMEOUT,
    JOB_BACKEND,
    JOB_INTERNAL,
    NO_NUMBER,
    REQUEST_TIMEOUT,
    TABLE_UNAVAILABLE,
    UNAVAILABLE,
    WORD,
    Fault,
)
from tests.bigquery_server.rest import BigQueryServer

COUNT = "SELECT COUNT(*) AS n FROM raw.games WHERE d = @d"
ADD = "INSERT INTO raw.games SELECT @d AS d, 'g' AS game_id"
DAY = {"d": date(2024, 1, 1)}
GAMES = Table(name="raw.games", date="d", entities={"game": "game_id"})
TOKYO = "asia-northeast1"


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalWarehouse]:
    """One table with one row."""
    warehouse = LocalWarehouse(tmp_path)
    warehouse.run("CREATE TABLE raw.games (d DATE, game_id STRING) PARTITION BY d", {})
    warehouse.run(ADD, DAY)
    yield warehouse
    warehouse.close()


@pytest.fixture
def server(local: LocalWarehouse, monkeypatch: pytest.MonkeyPatch) -> Iterator[BigQueryServer]:
    with BigQueryServer(local.folder, wait_seconds=0.05, locations={"raw": TOKYO}) as server:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.url)
        yield server


@pytest.fixture
def warehouse(server: BigQueryServer) -> Iterator[BigQueryWarehouse]:
    warehouse = BigQueryWarehouse("p", retry_seconds=5)
    yield warehouse
    warehouse.close()


def rows(local: LocalWarehouse) -> object:
    return local.rows(COUNT, DAY)[0]["n"]


@pytest.mark.parametrize(
    "fault",
    [UNAVAILABLE, REQUEST_TIMEOUT, GATEWAY_TIMEOUT, JOB_BACKEND, JOB_INTERNAL, TABLE_UNAVAILABLE],
    ids=lambda fault: fault.reason,
)
@pytest.mark.parametrize("how", ["before", "after", "cut", "in the job"])
@pytest.mark.quick(0, 7, 14, 21)
def test_a_passing_fault_of_an_insert_writes_once(
    warehouse: BigQueryWarehouse,
    server: BigQueryServer,
    local: LocalWarehouse,
    fault: Fault,
    how: str,
) -> None:
    given = {
        "before": fault,
        "after": fault.after_the_work(),
        "cut": fault.cut_off(),
        "in the job": fault if fault.reason.endswith("imeout") else fault.within_job(),
    }[how]
    server.fail(given, on="jobs.insert")

    assert warehouse.run(ADD, DAY) == 1
    assert rows(local) == 2


def test_a_write_whose_answer_is_lost_is_asked_after_by_who_goes_on(
    server: BigQueryServer, local: LocalWarehouse
) -> None:
    # Given a write that is done, on a server that then answers nothing for longer than we ask
    impatient = BigQueryWarehouse("p", retry_seconds=0.1)
    impatient.columns("raw.games")
    server.fail(UNAVAILABLE.after_the_work(), on="jobs.insert")
    server.fail(UNAVAILABLE, on="jobs.insert", times=1000)
    for method in ("jobs.get", "jobs.cancel"):
        server.fail(UNAVAILABLE, on=method, times=1000)
    with pytest.raises(LostWrite, match=r"What became of job backfill-fleet-one-0 is not known"):
        impatient.labelled(job="one").run(ADD, DAY)
    impatient.close()
    server.heal()

    # When another goes on with the same id, then it finds the job in its location: no second write
    other = BigQueryWarehouse("p", retry_seconds=5)
    assert other.labelled(job="one").run(ADD, DAY) == 1
    assert rows(local) == 2
    assert {r.query["location"] for r in server.requests if r.method == "jobs.get"} == {TOKYO}
    other.close()


def test_a_job_that_failed_before_is_begun_anew(
    warehouse: BigQueryWarehouse, server: BigQueryServer, local: LocalWarehouse
) -> None:
    refused = Fault(reason="invalidQuery", message="No.", in_job=True)
    server.fail(refused, on="jobs.insert")
    with pytest.raises(Exception, match="No"):
        warehouse.labelled(job="one").run(ADD, DAY)

    assert warehouse.labelled(job="one").run(ADD, DAY) == 1
    assert rows(local) == 2


def test_a_cancel_that_is_not_heard_is_asked_again(
    warehouse: BigQueryWarehouse, server: BigQueryServer, local: LocalWarehouse
) -> None:
    # Given a statement that runs, and a server that answers the first two cancels 503
    server.hold()
    server.fail(UNAVAILABLE, on="jobs.cancel", times=2)
    ended: list[BaseException] = []

    def write() -> None:
        try:
            warehouse.run(ADD, DAY)
        except WarehouseUnreachable as error:
            ended.append(error)

    thread = threading.Thread(target=write)
    thread.start()
    assert server.wait_for("jobs.getQueryResults")

    # When it is cancelled until it has ended, then it has, and wrote nothing
    while thread.is_alive():
        warehouse.cancel()
        thread.join(0.05)
    server.release()
    assert server.count("jobs.cancel") == 3
    assert "was cancelled" in str(ended[0])
    assert rows(local) == 1


def test_a_job_that_waits_for_ever_says_that_it_was_never_started(
    server: BigQueryServer, local: LocalWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sql.bigquery._GRACE_SECONDS", 0.0)
    warehouse = BigQueryWarehouse("p", job_timeout_seconds=0.2)
    server.hold(pending=True)

    with pytest.raises(NeverStarted, match="queued, and never started"):
        warehouse.run(ADD, DAY)
    server.release()
    assert rows(local) == 1
    warehouse.close()


def test_jobs_run_where_their_tables_are(server: BigQueryServer, local: LocalWarehouse) -> None:
    # Given tables of two locations, and a setting that names a third
    local.run("CREATE TABLE eu.games (d DATE, game_id STRING) PARTITION BY d", {})
    warehouse = BigQueryWarehouse("p", location="europe-west3", retry_seconds=1)

    assert warehouse.coverage(GAMES, DAY["d"], DAY["d"])[DAY["d"]].rows == 1
    assert warehouse.coverage(replace(GAMES, name="eu.games"), DAY["d"], DAY["d"]) == {}
    places = [
        r.body["jobReference"]["location"] for r in server.requests if r.body.get("jobReference")
    ]
    assert places == [TOKYO, "US"]

    # Then a statement of both is refused with the cause
    with pytest.raises(TableNotFound, match="two locations"):
        warehouse.rows("SELECT 1 FROM eu.games, raw.games", {})
    warehouse.close()


@pytest.mark.parametrize("fault", [FEWER, ENDLESS, NO_NUMBER, WORD], ids=lambda fault: fault.spoilt)
def test_an_answer_that_lies_is_not_believed(
    warehouse: BigQueryWarehouse, server: BigQueryServer, fault: Fault
) -> None:
    server.fail(fault, on="jobs.getQueryResults", times=1000)

    with pytest.raises(BadAnswer) as told:
        warehouse.coverage(GAMES, DAY["d"], DAY["d"])
    assert "\n" not in str(told.value)
