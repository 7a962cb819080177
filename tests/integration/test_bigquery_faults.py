"""What goes wrong in BigQuery, and the one line that is said of it."""

from __future__ import annotations

import errno
import json
import re
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
import requests
from google.auth.exceptions import RefreshError, TransportError

from sql.bigquery import BigQueryWarehouse
from sql.bigquery_errors import translated
from sql.errors import TableNotFound, WarehouseError, WarehouseRefused, WarehouseUnreachable
from sql.local import LocalWarehouse
from tests.bigquery_server.faults import (
    ACCESS_DENIED,
    BYTES_LIMIT,
    NOT_FOUND,
    RATE_LIMITED,
    TOO_LARGE,
    UNAVAILABLE,
    Fault,
)
from tests.bigquery_server.rest import BigQueryServer

COUNT = "SELECT COUNT(*) AS n FROM raw.games WHERE d = @d"
ADD = "INSERT INTO raw.games SELECT @d AS d, 'g' AS game_id"
DAY = {"d": date(2024, 1, 1)}


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
    with BigQueryServer(local.folder, require_partition_filter=["raw.games"]) as server:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.url)
        yield server


@pytest.fixture
def warehouse(server: BigQueryServer) -> Iterator[BigQueryWarehouse]:
    warehouse = BigQueryWarehouse("p")
    yield warehouse
    warehouse.close()


REFUSALS = [
    pytest.param(
        ACCESS_DENIED,
        WarehouseRefused,
        "perhaps it does not exist. Grant roles/bigquery.jobUser on the project and "
        "roles/bigquery.dataViewer",
        id="access denied",
    ),
    pytest.param(
        BYTES_LIMIT,
        WarehouseRefused,
        "10485760 or higher required. Ask for fewer dates, or raise BACKFILL_MAX_BYTES.",
        id="bytes limit",
    ),
]


@pytest.mark.parametrize("in_job", [False, True], ids=["at once", "in the job"])
@pytest.mark.parametrize(("fault", "kind", "said"), REFUSALS)
def test_a_refusal_is_said_once_in_one_line_and_never_retried(
    warehouse: BigQueryWarehouse,
    server: BigQueryServer,
    fault: Fault,
    kind: type[WarehouseError],
    said: str,
    in_job: bool,
) -> None:
    # Given a fault that would go away if it were asked again
    server.fail(fault.within_job() if in_job else fault, on=None if in_job else "jobs.insert")

    # When the statement runs
    with pytest.raises(kind) as refused:
        warehouse.rows(COUNT, DAY)

    # Then the line names the warehouse, what Google said and what to do; one job was begun
    message = str(refused.value)
    assert message.startswith("bigquery:p: ")
    assert said in message
    assert "\n" not in message
    assert "http" not in message
    assert refused.value.__suppress_context__
    assert server.count("jobs.insert") == 1


@pytest.mark.parametrize("in_job", [False, True], ids=["at once", "in the job"])
def test_a_table_that_is_not_found_is_asked_for_once_more(
    warehouse: BigQueryWarehouse, server: BigQueryServer, in_job: bool
) -> None:
    # Given a table that Google does not find once, though it is there
    missing = replace(NOT_FOUND, in_job=in_job)
    server.fail(missing, on="jobs.insert")
    assert warehouse.rows(COUNT, DAY) == [{"n": 1}]

    # And one that it does not find at all
    server.fail(missing, on="jobs.insert", times=2)
    with pytest.raises(TableNotFound, match=r"^bigquery:p: Not found: Table p:d\.t .* Check the"):
        warehouse.rows(COUNT, DAY)
    assert server.count("jobs.insert") == 4


@pytest.mark.parametrize(
    ("name", "is_waited_for"),
    [("raw.games", True), ("RAW.Games", True), ("raw.gaems", False)],
    ids=["there a moment ago", "in another case", "mistyped"],
)
def test_only_a_table_that_was_there_is_waited_for(
    warehouse: BigQueryWarehouse, server: BigQueryServer, name: str, *, is_waited_for: bool
) -> None:
    # Given a table that was written before, and a statement that a table is not found for
    warehouse.labelled(phase="before").run(ADD, DAY)
    message = f"Not found: Table p:{name} was not found in location US"
    server.fail(replace(NOT_FOUND, message=message, in_job=True), on="jobs.insert", times=2)

    with pytest.raises(TableNotFound) as refused:
        warehouse.run(ADD, DAY)

    assert (refused.value.patience_seconds > 0) is is_waited_for


def test_a_request_that_is_too_large_says_413(
    warehouse: BigQueryWarehouse, server: BigQueryServer
) -> None:
    # Given Google's front end, which answers a page instead of JSON
    server.fail(TOO_LARGE, on="jobs.insert")

    with pytest.raises(WarehouseRefused) as refused:
        warehouse.rows(COUNT, DAY)
    assert "too large (413): ask for fewer dates" in str(refused.value)
    assert "<" not in str(refused.value)
    assert server.count("jobs.insert") == 1


@pytest.mark.parametrize(
    ("fault", "method"),
    [
        (UNAVAILABLE, "jobs.insert"),
        (UNAVAILABLE, "jobs.get"),
        (UNAVAILABLE, "jobs.getQueryResults"),
        (RATE_LIMITED, "jobs.insert"),
    ],
)
def test_what_passes_is_retried(
    warehouse: BigQueryWarehouse, server: BigQueryServer, fault: Fault, method: str
) -> None:
    server.fail(fault, on=method)

    assert warehouse.rows(COUNT, DAY) == [{"n": 1}]
    assert len({r.names.get("job") for r in server.requests if r.names.get("job")}) == 1


def test_a_job_that_fails_for_a_passing_reason_is_begun_again(
    warehouse: BigQueryWarehouse, server: BigQueryServer
) -> None:
    server.fail(UNAVAILABLE.within_job())

    assert warehouse.rows(COUNT, DAY) == [{"n": 1}]
    assert server.count("jobs.insert") == 2


def test_a_lost_answer_does_not_write_twice(
    warehouse: BigQueryWarehouse, server: BigQueryServer, local: LocalWarehouse
) -> None:
    # Given an INSERT that is done, and whose answer is lost
    server.fail(UNAVAILABLE.after_the_work(), on="jobs.insert")

    # When the client asks again, then it is told of the same job
    assert warehouse.run(ADD, DAY) == 1
    assert server.count("jobs.insert") == 2
    assert local.rows(COUNT, DAY) == [{"n": 2}]


@pytest.mark.parametrize(
    "ask",
    [
        lambda warehouse: warehouse.rows(COUNT, DAY),
        lambda warehouse: warehouse.run(ADD, DAY),
        lambda warehouse: warehouse.columns("raw.games"),
        lambda warehouse: warehouse.dry_run_bytes(COUNT, DAY),
    ],
    ids=["rows", "run", "columns", "dry run"],
)
@pytest.mark.parametrize("fault", [UNAVAILABLE, RATE_LIMITED], ids=["503", "rate limit"])
def test_what_does_not_pass_ends_as_unreachable(
    server: BigQueryServer, ask: Callable[[BigQueryWarehouse], object], fault: Fault
) -> None:
    # Given a server that never recovers, and little patience
    server.fail(fault, times=1000)
    warehouse = BigQueryWarehouse("p", retry_seconds=0.05)

    with pytest.raises(WarehouseUnreachable, match=r"kept failing until we gave up: .* Try again"):
        ask(warehouse)
    warehouse.close()


def test_a_query_without_the_required_filter_is_refused(warehouse: BigQueryWarehouse) -> None:
    with pytest.raises(WarehouseRefused, match=r"without a filter over column\(s\) 'd'.*constants"):
        warehouse.rows("SELECT COUNT(*) AS n FROM raw.games", {})
    with pytest.raises(WarehouseRefused, match=r"without a filter over column\(s\) 'd'"):
        warehouse.rows("SELECT 1 FROM raw.games AS a JOIN raw.games AS b ON a.d = b.d", {})

    assert warehouse.rows(COUNT, DAY) == [{"n": 1}]


def test_the_limit_on_bytes_is_enforced_by_the_server(server: BigQueryServer) -> None:
    # Given a limit below the 10 MB that BigQuery bills at least
    warehouse = BigQueryWarehouse("p", maximum_bytes_billed=1_000_000)

    with pytest.raises(WarehouseRefused, match=r"1000000\. 10485760 or higher.*BACKFILL_MAX_BYTES"):
        warehouse.rows(COUNT, DAY)
    assert server.bytes_billed == 0
    warehouse.close()


def test_a_mistake_in_the_statement_is_googles_message(warehouse: BigQueryWarehouse) -> None:
    with pytest.raises(WarehouseRefused, match="bigquery:p: Syntax error: "):
        warehouse.rows("SELECT (", {})
    with pytest.raises(WarehouseRefused, match="nothing"):
        warehouse.rows("SELECT nothing FROM raw.games WHERE d = @d", DAY)


def test_control_c_cancels_the_running_job(
    warehouse: BigQueryWarehouse, server: BigQueryServer, local: LocalWarehouse
) -> None:
    # Given a write that is still running when the user presses Ctrl-C
    server.hold()
    main = threading.main_thread().ident
    assert main is not None

    def press() -> None:
        if server.wait_for("jobs.getQueryResults"):
            signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()

    # When the interrupt arrives, then it goes on to the caller and the job is cancelled
    with pytest.raises(KeyboardInterrupt):
        warehouse.run(ADD, DAY)
    thread.join()
    assert server.count("jobs.cancel") == 1

    # And nothing was written, then or later
    server.release()
    assert local.rows(COUNT, DAY) == [{"n": 1}]


def test_a_job_that_outlasts_its_time_is_cancelled(
    local: LocalWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a job that never ends, on a server that does not end it either
    monkeypatch.setattr("sql.bigquery._GRACE_SECONDS", 0.0)
    with BigQueryServer(local.folder, wait_seconds=0.05) as server:
        server.hold()
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.url)
        warehouse = BigQueryWarehouse("p", job_timeout_seconds=0.2)

        with pytest.raises(WarehouseUnreachable, match="did not finish in time and was cancelled"):
            warehouse.rows(COUNT, DAY)
        assert server.count("jobs.cancel") == 1
        warehouse.close()


def test_a_job_that_somebody_stopped_says_so(
    warehouse: BigQueryWarehouse, server: BigQueryServer
) -> None:
    server.fail(Fault(reason="stopped", message="Job execution was cancelled", in_job=True))

    with pytest.raises(WarehouseUnreachable, match=r"was cancelled\. The job was stopped before"):
        warehouse.rows(COUNT, DAY)


def test_nobody_there_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    # Given a port that nobody listens on
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", f"127.0.0.1:{port}")
    warehouse = BigQueryWarehouse("p", retry_seconds=0.05)

    for ask in (
        lambda: warehouse.columns("raw.games"),
        lambda: warehouse.rows("SELECT 1", {}),
    ):
        with pytest.raises(WarehouseUnreachable) as lost:
            ask()
        assert str(lost.value) == "bigquery:p does not answer: check the network."
    warehouse.close()


def test_no_credentials_says_how_to_log_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("BIGQUERY_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "gone.json"))

    with pytest.raises(WarehouseUnreachable, match=r"gone\.json.*gcloud auth application-default"):
        BigQueryWarehouse("p")


def test_no_credential_is_ever_said() -> None:
    # Given what google-auth raises, with Google's whole answer in it
    error = RefreshError("invalid_grant", {"refresh_token": "1//secret"})  # type: ignore[no-untyped-call]

    said = str(translated("bigquery:p", error))
    assert "secret" not in said
    assert "gcloud auth application-default login" in said


def test_application_default_credentials_are_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Given what `gcloud auth application-default login` writes
    file = tmp_path / "application_default_credentials.json"
    kind = {"type": "authorized_user", "client_id": "me", "client_secret": "x"}
    file.write_text(json.dumps({**kind, "refresh_token": "mine"}))
    monkeypatch.delenv("BIGQUERY_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(file))

    warehouse = BigQueryWarehouse("p")

    assert warehouse._client._credentials.refresh_token == "mine"
    warehouse.close()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (
            requests.exceptions.SSLError("[SSL: CERTIFICATE_VERIFY_FAILED] self-signed"),
            r"certificate that answers is not trusted.*REQUESTS_CA_BUNDLE",
        ),
        (
            TransportError(  # type: ignore[no-untyped-call]
                "HTTPSConnectionPool(host='oauth2.googleapis.com', port=443): Max retries"
            ),
            r"gives out tokens \(oauth2\.googleapis\.com\) does not answer",
        ),
        (
            RefreshError(  # type: ignore[no-untyped-call]
                "invalid_grant: Invalid JWT: Token must be a short-lived token (60 minutes) and in "
                "a reasonable timeframe. Check your iat and exp values in the JWT claim."
            ),
            r"clock is wrong: set it by NTP",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "/keys/fleet.json"),
            r"/keys/fleet\.json cannot be read by user \d+: Permission denied.*GOOGLE_APPLIC",
        ),
        (ConnectionResetError(errno.ECONNRESET, "reset"), r"does not answer: check the network"),
    ],
    ids=["certificate", "tokens", "clock", "key file", "network"],
)
def test_the_cause_is_named(error: Exception, said: str) -> None:
    told = str(translated("bigquery:p", error))

    assert re.search(said, told), told
    assert "\n" not in told
