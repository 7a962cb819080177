"""Counting many tables: what is asked of the warehouse, how often, and what ends it."""

from __future__ import annotations

import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from google.cloud import bigquery

from planner.gaps.survey import survey
from planner.pipeline.load import load_pipeline
from planner.pipeline.windows import Window
from sql.bigquery import BigQueryWarehouse
from sql.counting import count
from sql.errors import TableNotFound, WarehouseRefused
from sql.local import LocalWarehouse
from sql.partitions import by_day as read_records
from sql.warehouse import Condition, Partitions, Table
from tests.bigquery_server.faults import ACCESS_DENIED, BYTES_LIMIT, NOT_FOUND, UNAVAILABLE
from tests.bigquery_server.rest import BigQueryServer
from tests.bigquery_server.served import Layout, ServedWarehouse
from tests.conftest import BUILT_UNTIL

START, END = date(2024, 1, 1), date(2024, 12, 31)
FIRST, LAST = date(2024, 3, 4), date(2024, 3, 9)
NOON = datetime(2024, 3, 10, 12, tzinfo=UTC)
MINIMUM = 10 * 1024 * 1024

Describe = Callable[..., None]


def table(name: str) -> Table:
    return Table(name=name, date="d", entities={"game": "game"})


GAMES, PLAYERS, EMPTY, PIECE = map(table, ("raw.games", "raw.players", "raw.none", "raw.piece"))
DAILY = table("mart.daily")
TABLES = [GAMES, PLAYERS, EMPTY, PIECE, DAILY]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two datasets; six dates in March, three rows each; one table empty, one in one piece."""
    folder = tmp_path_factory.mktemp("counting")
    warehouse = LocalWarehouse(folder)
    for each in TABLES:
        by = "" if each is PIECE else " PARTITION BY d"
        warehouse.run(f"CREATE TABLE {each.name} (d DATE, game STRING){by}", {})
        if each is not EMPTY:
            warehouse.run(
                f"INSERT INTO {each.name} SELECT d, CAST(n AS STRING) AS game "
                "FROM UNNEST(GENERATE_DATE_ARRAY(@first, @last)) AS d, "
                "UNNEST(GENERATE_ARRAY(1, 3)) AS n",
                {"first": FIRST, "last": LAST},
            )
    warehouse.close()
    return folder


@pytest.fixture
def local(built: Path, tmp_path: Path) -> Iterator[LocalWarehouse]:
    """A copy to change."""
    warehouse = LocalWarehouse(shutil.copytree(built, tmp_path / "warehouse"))
    yield warehouse
    warehouse.close()


@pytest.fixture
def server(local: LocalWarehouse, monkeypatch: pytest.MonkeyPatch) -> Iterator[BigQueryServer]:
    with BigQueryServer(local.folder) as server:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.url)
        yield server


@pytest.fixture
def warehouse(server: BigQueryServer) -> Iterator[BigQueryWarehouse]:
    warehouse = BigQueryWarehouse("p")
    yield warehouse
    warehouse.close()


@pytest.fixture
def described(monkeypatch: pytest.MonkeyPatch) -> Describe:
    """Lets the server describe a table as one that the local warehouse cannot build."""
    stock: Callable[[ServedWarehouse, str], Layout] = ServedWarehouse.layout

    def describe(table: Table, **changes: Any) -> None:
        def layout(self: ServedWarehouse, name: str) -> Layout:
            found = stock(self, name)
            return replace(found, **changes) if name == table.name else found

        monkeypatch.setattr(ServedWarehouse, "layout", layout)

    return describe


def jobs(server: BigQueryServer) -> list[dict[str, Any]]:
    """The queries that were run, dry runs aside."""
    return [
        request.body["configuration"]
        for request in server.requests
        if request.method == "jobs.insert" and not request.body["configuration"].get("dryRun")
    ]


def cancelled(server: BigQueryServer) -> set[str]:
    return {r.names["job"] for r in server.requests if r.method == "jobs.cancel"}


def bounds(job: dict[str, Any]) -> tuple[str, str]:
    values = {p["name"]: p["parameterValue"]["value"] for p in job["query"]["queryParameters"]}
    return values["start_date"], values["end_date"]


def test_every_table_is_counted_over_every_date(
    warehouse: BigQueryWarehouse, server: BigQueryServer, local: LocalWarehouse
) -> None:
    # When five tables of two datasets are counted over a year
    found = count(warehouse, TABLES, START, END)

    # Then both warehouses agree, and the empty table is empty
    assert found.coverage == count(local, TABLES, START, END).coverage
    assert found.coverage[EMPTY.name] == {}
    assert len(found.coverage[GAMES.name]) == 6

    # And one query per dataset was asked, then one per table, whatever the records said
    records, counts = jobs(server)[:2], jobs(server)[2:]
    assert all("INFORMATION_SCHEMA" in job["query"]["query"] for job in records)
    by_name = {
        each.name: job
        for job in counts
        for each in TABLES
        if f"`{each.name}`" in job["query"]["query"]
    }
    assert len(counts) == len(by_name) == 5
    assert {bounds(job) for job in counts} == {(str(START), str(END))}


def test_records_that_lag_hide_no_rows(
    warehouse: BigQueryWarehouse, local: LocalWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given records that know of no partition yet
    stock = ServedWarehouse.about_partitions
    monkeypatch.setattr(
        ServedWarehouse, "about_partitions", lambda *asked: stock(*asked).slice(0, 0)
    )

    found = count(warehouse, TABLES, START, END)

    assert found.coverage == count(local, TABLES, START, END).coverage
    assert len(found.coverage[GAMES.name]) == 6


def test_a_table_named_in_another_case_has_its_records(
    warehouse: BigQueryWarehouse, server: BigQueryServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a case-insensitive dataset, whose records name a table as it was made
    stock = ServedWarehouse.folder_name
    monkeypatch.setattr(
        ServedWarehouse,
        "folder_name",
        lambda self, name, project: stock(self, name.lower(), project),
    )
    shouted = table("raw.GAMES")

    # Then its rows are counted, and its times and versions are told
    assert len(count(warehouse, [shouted], START, END).coverage["raw.GAMES"]) == 6
    records = warehouse.partitions([GAMES], START, END)[GAMES.name]
    assert records.by_day
    assert warehouse.partitions([shouted], START, END)["raw.GAMES"] == records
    assert warehouse.versions(shouted, START, END) == warehouse.versions(GAMES, START, END)


def test_records_tell_rows_and_times(
    warehouse: BigQueryWarehouse, server: BigQueryServer, local: LocalWarehouse
) -> None:
    found = warehouse.partitions(TABLES, START, END)

    assert found == local.partitions(TABLES, START, END)
    by_day = found[GAMES.name].by_day
    assert by_day is not None
    assert {day: part.rows for day, part in by_day.items()} == {
        date(2024, 3, n): 3 for n in range(4, 10)
    }
    assert found[PIECE.name] == Partitions(by_day=None)
    assert found[EMPTY.name] == Partitions(by_day={})


def test_rows_without_a_date_are_told_and_not_counted(
    warehouse: BigQueryWarehouse, server: BigQueryServer, local: LocalWarehouse
) -> None:
    local.run("INSERT INTO raw.games SELECT CAST(NULL AS DATE) AS d, 'x' AS game", {})

    for each in (warehouse, local):
        found = count(each, [GAMES], START, END)
        assert found.notes == ("raw.games: rows without a date, which count for none: 1",)
        assert set(found.coverage[GAMES.name]) == {date(2024, 3, n) for n in range(4, 10)}


def test_rows_in_the_streaming_buffer_are_looked_for_on_every_date(
    warehouse: BigQueryWarehouse, server: BigQueryServer, described: Describe
) -> None:
    # Given rows of two dates that were streamed in: the records tell them under no date
    described(GAMES, streamed=frozenset({FIRST, LAST}))
    by_day = warehouse.partitions([GAMES], START, END)[GAMES.name].by_day
    assert by_day is not None
    assert FIRST not in by_day

    found = count(warehouse, [GAMES], START, END)

    # Then they are found on their dates, and told
    assert found.coverage[GAMES.name][FIRST].rows == 3
    assert len(found.coverage[GAMES.name]) == 6
    assert bounds(jobs(server)[-1]) == (str(START), str(END))
    (note,) = found.notes
    assert note == ("raw.games: rows in the streaming buffer, not yet in a partition: at least 6")


@pytest.mark.parametrize("kind", [{"kind": "MATERIALIZED_VIEW"}, {"granularity": "MONTH"}])
def test_what_has_no_records_by_day_is_counted_over_every_date(
    warehouse: BigQueryWarehouse, server: BigQueryServer, described: Describe, kind: dict[str, str]
) -> None:
    described(GAMES, **kind)

    found = count(warehouse, [GAMES], START, END)

    assert len(found.coverage[GAMES.name]) == 6
    assert [bounds(job) for job in jobs(server)] == [(str(START), str(END))]


RECORDED = {"20240304": 3, "__NULL__": 2}


@pytest.mark.parametrize(
    ("records", "buffer", "expected"),
    [
        pytest.param(RECORDED, None, ({FIRST: 3}, 2, 0), id="rows on one date"),
        pytest.param({"__NULL__": 2}, None, ({}, 2, 0), id="none with a date"),
        pytest.param(RECORDED | {"20240309": None}, None, (None, 2, 0), id="a number is unknown"),
        pytest.param({"__UNPARTITIONED__": 0}, None, ({}, 0, 1), id="in the records"),
        pytest.param({"__STREAMED__": 1}, None, ({}, 0, 1), id="under another name"),
        pytest.param({}, {"estimatedRows": 0}, ({}, 0, 1), id="in the description"),
        pytest.param({}, {}, ({}, 0, 1), id="in the description, without a number"),
    ],
)
def test_what_the_records_do_not_tell_is_no_zero(
    records: dict[str, int | None],
    buffer: dict[str, int] | None,
    expected: tuple[dict[date, int] | None, int, int],
) -> None:
    about = bigquery.Table.from_api_repr(
        {
            "tableReference": {"projectId": "p", "datasetId": "raw", "tableId": "games"},
            "streamingBuffer": buffer,
        }
    )
    rows = [
        {"partition_id": name, "total_rows": held, "last_modified_time": NOON}
        for name, held in records.items()
    ]

    found = read_records(about, rows, START, END)

    by_day = found.by_day
    held = None if by_day is None else {day: part.rows for day, part in by_day.items()}
    assert (held, found.undated, found.buffered) == expected


def test_a_table_that_is_not_there_is_an_error_and_no_gap(
    warehouse: BigQueryWarehouse, local: LocalWarehouse
) -> None:
    for each in (warehouse, local):
        with pytest.raises(TableNotFound, match=r"raw\.nowhere"):
            count(each, [GAMES, table("raw.nowhere")], START, END)


def test_a_column_of_no_days_is_refused_and_no_gap(
    warehouse: BigQueryWarehouse, local: LocalWarehouse
) -> None:
    # Given a table whose column holds texts that read like dates
    local.run("CREATE TABLE raw.texts (d STRING, game STRING)", {})
    local.run("INSERT INTO raw.texts SELECT '2024-03-04' AS d, 'x' AS game", {})

    for each in (warehouse, local):
        with pytest.raises(WarehouseRefused, match=r"raw\.texts is counted by 'd', .* a STRING"):
            count(each, [table("raw.texts")], START, END)


def test_records_that_may_not_be_read_hide_no_rows(
    warehouse: BigQueryWarehouse, server: BigQueryServer, local: LocalWarehouse
) -> None:
    # Given a user who may read the tables, and not what is known of them
    server.fail(ACCESS_DENIED, on="jobs.insert")

    found = count(warehouse, [GAMES, EMPTY], START, END)

    # Then all is counted over every date, and it is said what to grant
    assert found.coverage == count(local, [GAMES, EMPTY], START, END).coverage
    assert [bounds(job) for job in jobs(server)[1:]] == [(str(START), str(END))] * 2
    (note,) = found.notes
    assert "roles/bigquery.dataViewer" in note
    assert "rows without a date and rows that a row access policy hides are not told" in note


def test_records_that_are_refused_for_another_reason_end_it(
    warehouse: BigQueryWarehouse, server: BigQueryServer
) -> None:
    server.fail(BYTES_LIMIT, on="jobs.insert")

    with pytest.raises(WarehouseRefused, match="bytes billed"):
        count(warehouse, [GAMES], START, END)
    assert len(jobs(server)) == 1


def test_rows_that_the_count_does_not_see_are_refused_and_no_gap(
    local: LocalWarehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a row access policy: a count sees the rows of one date alone, and says nothing
    seen = date(2024, 3, 5)
    stock = local.coverage
    monkeypatch.setattr(local, "coverage", lambda *asked: {seen: stock(*asked)[seen]})

    with pytest.raises(
        WarehouseRefused,
        match=r"raw\.games: by its records 5 date\(s\).*\(2024-03-04 to 2024-03-09\)"
        r".*row access policy.*try again",
    ):
        count(local, [GAMES], START, END)

    # But rows that a filter of ours leaves out are no surprise
    some = replace(GAMES, where={"game": Condition(one_of=("1",))})
    assert set(count(local, [some], START, END).coverage[GAMES.name]) == {seen}


def test_stale_is_refused_where_times_may_not_be_read(
    warehouse: BigQueryWarehouse, server: BigQueryServer
) -> None:
    server.fail(ACCESS_DENIED, on="tables.get", times=9)

    with pytest.raises(WarehouseRefused, match=r"Access Denied.*--stale needs the times"):
        survey(
            warehouse,
            load_pipeline(str(Path(__file__).with_name("two_phases.toml"))),
            Window(start=FIRST, end=LAST),
            stale=True,
        )


@pytest.mark.parametrize("fault", [NOT_FOUND, ACCESS_DENIED])
def test_a_count_that_fails_ends_it(
    warehouse: BigQueryWarehouse, server: BigQueryServer, fault: Any
) -> None:
    with pytest.raises(WarehouseRefused, match="Not found|Access Denied"):
        count(
            warehouse,
            TABLES,
            START,
            END,
            on_table=lambda name: server.fail(fault, on="jobs.insert", times=2),
        )


def test_tables_are_counted_at_once(warehouse: BigQueryWarehouse, server: BigQueryServer) -> None:
    # Given counts that do not end
    together: list[bool] = []

    def hold(name: str) -> None:
        if not together:
            server.hold()

    def release() -> None:
        # Two queries for the records, then five counts that are there together
        together.append(server.wait_for("jobs.insert", count=7))
        server.release()

    thread = threading.Thread(target=release)
    thread.start()

    # Then all of them begin before one has ended
    found = count(warehouse, TABLES, START, END, on_table=hold)
    thread.join()
    assert together == [True]
    assert len(found.coverage[DAILY.name]) == 6


def test_the_first_error_wins_and_cancels_the_rest(
    warehouse: BigQueryWarehouse, server: BigQueryServer
) -> None:
    # Given counts that do not end, but for one that is refused
    first = threading.Lock()

    def on_table(name: str) -> None:
        server.hold()
        if first.acquire(blocking=False):
            server.fail(BYTES_LIMIT, on="jobs.insert")

    with pytest.raises(WarehouseRefused, match="bytes billed"):
        count(warehouse, TABLES, START, END, on_table=on_table)

    # Then every other job that began was cancelled
    assert len(cancelled(server)) == len(jobs(server)) - 2 - 1


def test_control_c_cancels_every_job(warehouse: BigQueryWarehouse, server: BigQueryServer) -> None:
    main = threading.main_thread().ident
    assert main is not None

    def press() -> None:
        server.wait_for("jobs.insert", count=7)
        signal.pthread_kill(main, signal.SIGINT)

    thread = threading.Thread(target=press)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        count(warehouse, TABLES, START, END, on_table=lambda name: server.hold())
    thread.join()
    assert len(cancelled(server)) == 5
    assert not [each for each in threading.enumerate() if each.name.startswith("ask-")]


def test_what_passes_is_asked_again_by_every_thread(
    warehouse: BigQueryWarehouse, server: BigQueryServer
) -> None:
    server.fail(UNAVAILABLE, on="jobs.insert", times=3)

    assert len(count(warehouse, TABLES, START, END).coverage[GAMES.name]) == 6


def test_the_cost_is_known_before_and_is_not_exceeded(
    warehouse: BigQueryWarehouse, server: BigQueryServer, local: LocalWarehouse
) -> None:
    # When only asked, then nothing is billed
    at_most = warehouse.bytes_to_count(TABLES, START, END)
    assert (server.bytes_billed, jobs(server)) == (0, [])

    # Then five tables and two datasets at BigQuery's minimum
    assert at_most == 7 * MINIMUM
    count(warehouse, TABLES, START, END)
    assert server.bytes_billed == 7 * MINIMUM
    assert local.bytes_to_count(TABLES, START, END) is None


def test_every_job_says_which_plan_and_phase_it_is_for(
    warehouse: BigQueryWarehouse, server: BigQueryServer
) -> None:
    labelled = warehouse.labelled(plan_id="plan-1", phase="planning")
    labelled.bytes_to_count([GAMES], START, END)
    count(labelled, [GAMES], START, END)
    warehouse.rows("SELECT 1", {})

    labels = [
        request.body["configuration"]["labels"]
        for request in server.requests
        if request.method == "jobs.insert"
    ]
    mine = {"app": "backfill-fleet", "plan_id": "plan-1", "phase": "planning"}
    assert labels == [mine, mine, mine, {"app": "backfill-fleet"}]


@pytest.mark.slow
def test_a_scan_of_all_seasons_asks_two_queries_per_dataset_and_one_per_table_at_most(
    whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a pipeline of several seasons, of which six weeks hold rows
    pipeline = load_pipeline("nba")
    assert len(pipeline.seasons) > 4
    scope = Window(start=pipeline.seasons[0].start, end=pipeline.seasons[-1].end)
    names = [spec.name for spec in pipeline.tables]
    with BigQueryServer(whole, require_partition_filter=names) as server:
        monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", server.url)
        warehouse = BigQueryWarehouse("p")
        health = survey(warehouse, pipeline, scope)
        warehouse.close()

    # Then it is judged as on the local warehouse, for so many queries
    here = LocalWarehouse(whole)
    assert health == survey(here, pipeline, scope)
    here.close()
    datasets = {name.partition(".")[0] for name in names}
    records = [job for job in jobs(server) if "INFORMATION_SCHEMA" in job["query"]["query"]]
    assert len(records) <= 2 * len(datasets)
    assert len(jobs(server)) - len(records) <= len(names)
    assert server.bytes_billed <= (len(datasets) + len(names)) * MINIMUM
    assert BUILT_UNTIL in health.complete["raw"]
