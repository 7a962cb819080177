"""Dates that wrong code made, as a user types it: found, written anew, compared and put back."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import date
from pathlib import Path

import pytest

from planner.pipeline.load import load_pipeline, pipeline_path
from planner.sandbox.boxscores import generate_boxscores
from planner.sandbox.build import build
from planner.sandbox.compare import Difference, differences
from planner.sandbox.demo_pipeline import demo_pipeline
from planner.sandbox.shop import build_shop
from planner.sandbox.workers import ROOT, environment_of
from planner.settings import Settings
from sql import Table, load, open_warehouse
from tests.bigquery_server.rest import BigQueryServer
from tests.commands import Done, planner
from tests.conftest import Sandbox
from tests.waiting import until
from worker.processes.embedded_redis import embedded_broker
from worker.processes.workers import run_workers

SCRIPT = "backfill_jobs/analytics/player_game_summary/player_game_summary_analytics_backfill.py"
WRONG = '''
import sys
from planner.sandbox import job

BONUS = 1
MORE = """
MERGE nba_analytics.player_game_summary
USING (
  SELECT * REPLACE (points + @bonus AS points) FROM nba_analytics.player_game_summary
  WHERE game_date BETWEEN @start AND @end
)
ON FALSE
WHEN NOT MATCHED BY SOURCE AND game_date BETWEEN @start AND @end THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT ROW
"""


def fill_spans(warehouse, phase, table, spans):
    wrapped(warehouse, phase, table, spans)
    for start, end in spans if BONUS else ():
        warehouse.run(MORE, {"bonus": BONUS, "start": start, "end": end})


wrapped, job.fill_spans = job.fill_spans, fill_spans
if __name__ == "__main__":
    sys.exit(job.run_phase("analytics"))
'''
RIGHT = WRONG.replace("BONUS = 1", "BONUS = 0")
BY_SCRIPT = ("analytics", "precompute", "grading")
"""Phases whose scripts are in the folder that was mended."""
SEASONS = ("2021-22", "2022-23", "2023-24", "2024-25")
RIGHT_SPAN = ("2022-01-10", "2022-01-23")
"""Two weeks that the mended script has made."""
MANY = ("--chunk-dates", "70")  # few steps: each pays for the start of a script
PATIENCE = 900.0


@pytest.fixture
def league(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Four seasons, built right in one piece; and a folder of scripts that the test may change."""
    chosen = [each for each in load_pipeline("nba").seasons if each.name in SEASONS]
    build(tmp_path / "whole", generate_boxscores(chosen, seed=7), until=None)
    shutil.copytree(tmp_path / "whole", tmp_path / "warehouse")
    shutil.copytree(ROOT, tmp_path / "root")
    monkeypatch.setattr("planner.sandbox.workers.ROOT", tmp_path / "root")
    with ExitStack() as stack:
        sandbox = Sandbox(place=tmp_path, whole=tmp_path / "whole", stack=stack)
        file = demo_pipeline(tmp_path)
        named = 'name = "nba_analytics.player_game_summary"\n'
        key = 'key = ["game_code", "player_id"]\n'
        file.write_text(file.read_text().replace(named, named + key))
        (tmp_path / "root" / SCRIPT).write_text(WRONG)
        sandbox.start_fleet(workers=2)
        yield sandbox


def dates_of(sandbox: Sandbox, phase: str) -> set[date]:
    warehouse = open_warehouse(sandbox.settings.warehouse)
    table = sandbox.pipeline.by_name[phase].tables[0].table
    return set(warehouse.coverage(table, date.min, date.max))


def version(place: Path, table: str) -> int:
    """How many commits a table has."""
    return len(list((place / "warehouse").joinpath(*table.split("."), "_delta_log").glob("*.json")))


@pytest.mark.slow  # its parts: test_changed.py, test_redo.py, test_restore.py, test_diff.py
def test_a_wrong_constant_of_four_seasons_is_found_mended_and_put_back(league: Sandbox) -> None:
    def say(*arguments: str) -> Done:
        return league.planner(*arguments, seconds=PATIENCE)

    # Given four seasons that a script with a wrong constant made, which is mended
    built = say("enqueue", "--redo", "--all", *MANY, "--wait", "--yes")
    assert built.code == 0, built.err
    wrong = league.differences()
    assert {each.table for each in wrong} >= {"nba_analytics.player_game_summary"}
    (league.place / "root" / SCRIPT).write_text(RIGHT)
    some = ("--start", RIGHT_SPAN[0], "--end", RIGHT_SPAN[1])
    mended = say("enqueue", "--redo", "--no-cascade", *some, "--wait", "--yes")
    assert mended.code == 0, mended.err

    # Then exactly the dates that it made are told
    right = [date.fromisoformat(day) for day in RIGHT_SPAN]
    told = say("gaps", "--changed", "--json").json
    assert {(each["phase"], each["date"]) for each in told["changed"]} == {
        (phase, str(day))
        for phase in BY_SCRIPT
        for day in dates_of(league, phase)
        if not right[0] <= day <= right[1]
    }
    assert told["unknown"] == []

    # When they are written anew, then every table equals, row for row, the one built right
    shutil.copytree(league.place / "warehouse", league.place / "before")
    done = say("enqueue", "--redo", "--changed", *MANY, "--wait", "--yes", "--json")
    assert done.code == 0, done.err
    run = done.json["run_id"]
    assert league.differences() == []
    assert say("gaps", "--changed").code == 0
    (shown,) = [
        table
        for table in say("diff", run, "--limit", "0", "--json").json["tables"]
        if table["table"] == "nba_analytics.player_game_summary"
    ]
    assert next(iter(shown["columns"])) == "points"

    # And the same run is put back, also when a worker and the restore itself are killed
    assert league.running is not None
    os.kill(league.running.workers[0].process.pid, signal.SIGKILL)
    killed = kill_in_the_middle(
        run, league.place, "nba_analytics.player_game_summary", league.running.environment
    )
    assert killed < 0
    go_on(say)
    assert unequal(league.place / "before", league.place / "warehouse", league.tables) == []


def kill_in_the_middle(run: str, place: Path, first: str, environment: Mapping[str, str]) -> int:
    """Begin to restore a run, and kill that when its first table was put back; the exit code."""
    begun = version(place, first)
    restoring = subprocess.Popen(
        [sys.executable, "-m", "planner", "restore", run, "--yes"],
        env={**environment},
        cwd=place,
    )
    until(lambda: version(place, first) > begun, seconds=120)
    restoring.kill()
    return restoring.wait()


def go_on(say: Callable[..., Done]) -> None:
    """Type what the status of the restore that was killed names."""
    (killed,) = [each for each in say("runs", "--json").json["runs"] if "restore" in each["run_id"]]
    assert killed["state"] == "interrupted"
    again = re.search(r"`planner (.*)`", say("status", killed["run_id"]).out)
    assert again is not None
    assert again[1] == killed["reason"].replace(" of ", " ")
    done = say(*again[1].split(), "--yes")
    assert done.code == 0, done.err


def unequal(one: Path, other: Path, tables: Sequence[Table | str]) -> list[Difference]:
    return differences(open_warehouse(f"local:{one}"), open_warehouse(f"local:{other}"), tables)


# -- on BigQuery ------------------------------------------------------------------------------

SHOP_SINCE, SHOP_UNTIL = date(2024, 1, 1), date(2024, 6, 30)
TABLES = [spec.table for spec in load_pipeline("shop").tables]
KEYED = 'name = "shop_marts.{name}"\nkey = ["store_id"]\n'
DAILY = load("shop/store_daily")
DOUBLED = DAILY.replace("SUM(cents) AS cents", "2 * SUM(cents) AS cents")


class Marts:
    """The shop's three marts behind the BigQuery server, its statements beside its file."""

    def __init__(self, place: Path, server: BigQueryServer) -> None:
        self.place, self.server = place, server
        text = pipeline_path("shop").read_text(encoding="utf-8")
        for name in ("store_daily", "store_weekly", "store_monthly"):
            text = text.replace(f'"shop/{name}"', f'"{name}"')
            text = text.replace(f'name = "shop_marts.{name}"\n', KEYED.format(name=name))
            (place / f"{name}.sql").write_text(load(f"shop/{name}"))
        (place / "shop.toml").write_text(text)
        self.settings = Settings(
            _env_file=None,  # type: ignore[call-arg]
            warehouse="bigquery:shop-project",
            pipeline=str(place / "shop.toml"),
            home=place / "home",
            keep_dataset="safe",
            poll_max_seconds=0.2,
        )
        self.environment = environment_of(self.settings) | {"BIGQUERY_EMULATOR_HOST": server.url}

    def say(self, *arguments: str) -> Done:
        environment = {**os.environ, **self.environment}
        return planner(*arguments, environment=environment, cwd=self.place, seconds=PATIENCE)


@pytest.fixture
def marts(tmp_path: Path) -> Iterator[Marts]:
    build_shop(tmp_path / "whole", load_pipeline("shop"), since=SHOP_SINCE, until=SHOP_UNTIL)
    shutil.copytree(tmp_path / "whole", tmp_path / "warehouse")
    with (
        BigQueryServer(tmp_path / "warehouse", locations={"safe": "US"}) as server,
        ExitStack() as stack,
    ):
        made = Marts(tmp_path, server)
        stack.enter_context(embedded_broker(made.settings))
        stack.enter_context(run_workers(made.settings, workers=2, environment=made.environment))
        yield made


@pytest.mark.slow  # its parts: test_price.py, test_restore.py
def test_the_price_said_before_is_what_marts_of_bigquery_are_billed(marts: Marts) -> None:
    span = ("--start", str(SHOP_SINCE), "--end", str(SHOP_UNTIL))

    # Given marts that a wrong constant made, and a statement that is right again
    (marts.place / "store_daily.sql").write_text(DOUBLED)
    built = marts.say("enqueue", "--redo", *span, "--wait", "--yes")
    assert built.code == 0, built.err
    assert unequal(marts.place / "whole", marts.place / "warehouse", TABLES)
    (marts.place / "store_daily.sql").write_text(DAILY)

    # When it is asked what the repair costs, and then done
    shutil.copytree(marts.place / "warehouse", marts.place / "before")
    before = marts.server.bytes_billed
    done = marts.say("enqueue", "--redo", "--changed", *span, "--wait", "--yes", "--json")

    # Then that is what was billed, within a tenth
    assert done.code == 0, done.json["status"]["causes"]
    told = done.json["cost"]
    billed = marts.server.bytes_billed - before
    said = sum(told[part]["bytes"] for part in ("counting", "recounts", "statements", "keeping"))
    assert abs(said - billed) <= billed / 10, (told, billed)
    run = done.json["run_id"]
    status = marts.say("status", run, "--json").json["billed"]
    assert status["phases"].keys() == {"daily", "weekly", "monthly"}
    assert unequal(marts.place / "whole", marts.place / "warehouse", TABLES) == []
    daily, *_ = marts.say("diff", run, "--limit", "0", "--json").json["tables"]
    assert (daily["table"], list(daily["columns"])) == ("shop_marts.store_daily", ["cents"])

    # And the same run is put back, also when the restore is killed
    environment = {**os.environ, **marts.environment}
    assert kill_in_the_middle(run, marts.place, "shop_marts.store_daily", environment) < 0
    go_on(marts.say)
    assert unequal(marts.place / "before", marts.place / "warehouse", TABLES) == []
