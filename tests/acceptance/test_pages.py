"""The commands of README and of the pages beside the tutorial, typed as they stand there."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import pytest

from planner.pipeline.load import load_pipeline
from planner.sandbox.boxscores import generate_boxscores
from planner.sandbox.build import build
from sql.local import LocalWarehouse
from tests.bigquery_server.rest import BigQueryServer
from tests.commands import Done, planner
from tests.console import RUN, Command, blocks, plain
from tests.waiting import until

ROOT = Path(__file__).parents[2]
UP_SECONDS = 60
DAYS = 12
SEASONS = [each for each in load_pipeline("nba").seasons if each.year == 2023]
BEGINNING = date(2023, 11, 9)  # enough of the season: a larger table is billed the same
HOLES = 5
PUT_BACK = """
import os, sys
from datetime import date
from sql import open_warehouse

start, end = sys.argv[2::2]
warehouse = open_warehouse(os.environ["BACKFILL_WAREHOUSE"])
span = {"start_date": date.fromisoformat(start), "end_date": date.fromisoformat(end)}
warehouse.run('''
MERGE marts.trend
USING (
  SELECT order_date, store_id FROM raw.orders WHERE order_date BETWEEN @start_date AND @end_date
)
ON FALSE
WHEN NOT MATCHED BY SOURCE AND order_date BETWEEN @start_date AND @end_date THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT ROW
''', span)
warehouse.close()
"""
FILL = (
    "INSERT INTO {table} SELECT d AS order_date, store AS store_id "
    "FROM UNNEST(GENERATE_DATE_ARRAY(@first, @last)) AS d CROSS JOIN UNNEST(['a', 'b']) AS store"
)


def commands(page: str) -> list[Command]:
    """The commands of a page that are run, in order."""
    every = [each for block in blocks(ROOT / page) for each in block.commands]
    return [each for each in every if each.bare in RUN[page]]


def variables(place: Path, **more: str) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "COLUMNS": "80", "BACKFILL_HOME": str(place / "home"), **more}


def typed(text: str, environment: dict[str, str], place: Path) -> Done:
    """A command of `planner`, as it stands on a page."""
    return planner(*shlex.split(text)[1:], environment=environment, cwd=place)


def lay_tables(place: Path, datasets: tuple[str, str], names: tuple[str, str]) -> list[date]:
    """Two tables of the last days, the second without some of them; which they are."""
    place.joinpath("warehouse").mkdir()
    local = LocalWarehouse(place / "warehouse")
    last = date.today() - timedelta(days=2)
    span = {"first": last - timedelta(days=DAYS - 1), "last": last}
    for table in (f"{datasets[0]}.{names[0]}", f"{datasets[1]}.{names[1]}"):
        columns = "order_date DATE, store_id STRING"
        local.run(f"CREATE TABLE {table} ({columns}) PARTITION BY order_date", {})
        local.run(FILL.format(table=table), dict(span))
    holes = [last - timedelta(days=n) for n in range(HOLES)]
    lose = f"DELETE FROM {datasets[1]}.{names[1]} WHERE order_date >= @first"
    local.run(lose, {"first": holes[-1]})
    local.close()
    return sorted(holes)


@contextmanager
def going_on(text: str, environment: dict[str, str], place: Path) -> Iterator[None]:
    """A fleet in another terminal, until the end."""
    log = place / "up.log"
    with log.open("w") as file:
        words = [sys.executable, "-m", *shlex.split(text)]
        process = subprocess.Popen(words, env=environment, cwd=place, stdout=file, stderr=file)
    try:
        until(lambda: "workers are up" in log.read_text(), seconds=UP_SECONDS)
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(UP_SECONDS)


@pytest.mark.slow  # its kinds of commands are run by quick tests, each in its own
def test_the_readmes_way_to_tables_of_ones_own(tmp_path: Path) -> None:
    # Given the tables of its pipeline file, in a folder, and the script that it names
    holes = lay_tables(tmp_path, ("raw", "marts"), ("orders", "trend"))
    (toml,) = [block.text for block in blocks(ROOT / "README.md") if block.kind == "toml"]
    (tmp_path / "shop.toml").write_text(toml)
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "trend.py").write_text(PUT_BACK)
    export, gaps, up, enqueue, watch, report = [each.bare for each in commands("README.md")]
    given = dict(word.split("=", 1) for word in shlex.split(export)[1:])
    environment = variables(tmp_path, **given) | {"BACKFILL_WAREHOUSE": "local:warehouse"}

    # When its commands are typed
    assert typed(gaps, environment, tmp_path).code == 1
    with going_on(up, environment, tmp_path):
        sent = typed(enqueue, environment, tmp_path)
        assert sent.code == 0, sent.err
        (run_id,) = set(re.findall(r"run-\d+-\w+", sent.out))
        known = re.compile(r"run-\S+")
        watched = typed(known.sub(run_id, watch), environment, tmp_path)
        told = typed(known.sub(run_id, report), environment, tmp_path)

    # Then three dates are repaired, and two are left, as the exit code of the end says
    assert (watched.code, told.code) == (1, 0), watched.err + told.err
    assert "2 gaps of its scope not taken by its plan; next: `planner enqueue" in watched.err
    left = planner("gaps", "--json", environment=environment, cwd=tmp_path).json["gaps"]
    dates = [gap["date"] for gap in left if gap["reason"] == "missing"]
    assert dates == [str(day) for day in holes[3:]]


@pytest.mark.slow  # tests/integration/test_shop.py shows the repair without a fleet
def test_a_shop_that_is_broken_and_repaired_by_four_commands(tmp_path: Path) -> None:
    environment = variables(tmp_path)
    for command in commands("docs/pipeline-file.md"):
        words = shlex.split(command.text)
        if words[0] == "export":
            environment |= dict(word.split("=", 1) for word in words[1:])
            continue
        done = typed(command.text, environment, tmp_path)
        assert done.code == 0, done.err
    assert planner("gaps", environment=environment, cwd=tmp_path).code == 0


def test_a_draft_from_the_manifest_of_dbt(tmp_path: Path) -> None:
    lay_tables(tmp_path, ("shop_raw", "shop_marts"), ("orders", "store_daily"))
    node = {"schema": "shop_marts", "name": "store_daily", "depends_on": {"nodes": ["source.o"]}}
    manifest = {
        "sources": {"source.o": {"schema": "shop_raw", "name": "orders"}},
        "nodes": {"model.d": node},
    }
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "manifest.json").write_text(json.dumps(manifest))
    environment = variables(tmp_path, BACKFILL_WAREHOUSE="local:warehouse")
    (command,) = commands("docs/beside.md")

    done = typed(command.text, environment, tmp_path)

    assert done.code == 0, done.err
    assert [plain(line) for line in command.shown] == [
        plain(line) for line in done.out.splitlines() if line in command.shown
    ]


def test_what_counting_is_billed_is_said_as_the_page_shows_it(tmp_path: Path) -> None:
    # Given the pipeline that ships, in BigQuery: its tables are small, so the minimum is billed
    (command,) = commands("docs/cost.md")
    build(tmp_path / "warehouse", generate_boxscores(SEASONS), until=BEGINNING)
    with BigQueryServer(tmp_path / "warehouse") as server:
        environment = variables(
            tmp_path, BACKFILL_WAREHOUSE="bigquery:owner", BIGQUERY_EMULATOR_HOST=server.url
        )
        done = typed(command.text, environment, tmp_path)

    assert done.code == 0, done.err
    assert command.shown == [line for line in done.err.splitlines() if line in command.shown]


def test_a_csv_file_becomes_a_table_by_the_code_of_operations(tmp_path: Path) -> None:
    (code,) = [b.text for b in blocks(ROOT / "docs/operations.md") if b.kind == "python"]
    (tmp_path / "games.csv").write_text("day,game\n2026-03-01,a\n2026-03-02,b\n")
    code = code.replace('"games.csv"', f'"{tmp_path}/games.csv"').replace('"DIR/', f'"{tmp_path}/')

    exec(compile(code, "operations.md", "exec"), {})

    local = LocalWarehouse(tmp_path)
    rows = local.rows("SELECT day, game FROM raw.games ORDER BY day", {})
    local.close()
    assert [(row["day"], row["game"]) for row in rows] == [
        (date(2026, 3, 1), "a"), (date(2026, 3, 2), "b")
    ]  # fmt: skip
