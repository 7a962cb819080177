"""The sandbox's own jobs, as real processes: any part of it can be made again, in any chunks."""

import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from planner.pipeline.load import load_pipeline
from planner.sandbox.compare import differences
from planner.sandbox.fill import PHASES, rebuild
from planner.sandbox.punch import punch, punch_plan
from sql import Warehouse, open_warehouse
from tests.commands import Done, python
from tests.conftest import BUILT_UNTIL

PIPELINE = load_pipeline("nba")
SEASON = PIPELINE.seasons[0]
DAY = timedelta(days=1)
FIRST_FULL = SEASON.start + PIPELINE.bootstrap_days * DAY
LAST = BUILT_UNTIL
FIRST = FIRST_FULL + DAY  # the first date with every phase: nobody plays on 2021-11-02
ROOT = Path("planner/sandbox/root").absolute()

ANALYTICS = "backfill_jobs/analytics/player_game_summary/player_game_summary_analytics_backfill.py"
PRECOMPUTE = "bin/backfill/run_phase4_backfill.sh"
GRADING = "backfill_jobs/prediction/grade_predictions_backfill.py"

RUN_SCRIPT = "import runpy, sys; del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"

TABLES = [table.table for phase in PIPELINE.phases for table in phase.tables]
DERIVED = [table for table in TABLES if not table.name.startswith("nba_raw.")]


@pytest.fixture
def reference(whole: Path) -> Iterator[Warehouse]:
    warehouse = open_warehouse(f"local:{whole}")
    yield warehouse
    warehouse.close()


@pytest.fixture
def warehouse(whole: Path, tmp_path: Path) -> Iterator[Warehouse]:
    shutil.copytree(whole, tmp_path / "warehouse")
    warehouse = open_warehouse(f"local:{tmp_path / 'warehouse'}")
    yield warehouse
    warehouse.close()


def command(script: str, *arguments: str) -> list[str]:
    return [*([] if script.endswith(".sh") else [sys.executable]), script, *arguments]


def environment(warehouse: Warehouse, faults: Path | None = None) -> dict[str, str]:
    return {
        **os.environ,
        "BACKFILL_WAREHOUSE": warehouse.name,
        "PIPELINE_PYTHON": sys.executable,
        "PYTHONPATH": ".",
        "SANDBOX_FAULTS": str(faults or ""),
    }


def job(warehouse: Warehouse, script: str, *arguments: str, faults: Path | None = None) -> Done:
    """Run a script to its end: Python's in a process that has imported what it needs."""
    given = environment(warehouse, faults)
    if not script.endswith(".sh"):
        return python(RUN_SCRIPT, script, *arguments, environment=given, cwd=ROOT)
    done = subprocess.run(
        command(script, *arguments),
        cwd=ROOT,
        env=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Done(code=done.returncode, out=done.stdout, err=done.stderr)


def between(start: date, end: date) -> tuple[str, ...]:
    return ("--start-date", start.isoformat(), "--end-date", end.isoformat())


def empty(warehouse: Warehouse, start: date, end: date) -> None:
    for table in DERIVED:
        warehouse.run(
            f"DELETE FROM `{table.name}` WHERE game_date BETWEEN @start_date AND @end_date",
            {"start_date": start, "end_date": end},
        )


def only_rows_of(warehouse: Warehouse, name: str) -> set[date]:
    table = next(table for table in TABLES if table.name.endswith(name))
    return set(warehouse.coverage(table, SEASON.start, SEASON.end))


def test_everyone_in_analytics_has_rows_in_every_later_phase(reference: Warehouse) -> None:
    held = {table.name: reference.coverage(table, FIRST_FULL, LAST) for table in TABLES}
    players = {
        name: {day: cell.entities.get("player") for day, cell in cells.items()}
        for name, cells in held.items()
    }
    teams = next(table for table in TABLES if "team_defense" in table.name)

    expected = players["nba_raw.bdl_player_boxscores"]
    assert len(expected) > 20
    assert all(of == expected for name, of in players.items() if name != teams.name)
    assert {day: cell.entities["team"] for day, cell in held[teams.name].items()} == {
        day: 2 * cell.entities["game"] for day, cell in held[TABLES[0].name].items()
    }


def test_the_bootstrap_has_analytics_and_nothing_later(reference: Warehouse) -> None:
    held = {
        table.name: reference.coverage(table, SEASON.start, FIRST_FULL - DAY) for table in DERIVED
    }

    assert {name for name, cells in held.items() if cells} == {"nba_analytics.player_game_summary"}


@pytest.mark.slow
def test_any_range_that_is_deleted_comes_back_row_for_row(
    warehouse: Warehouse, reference: Warehouse
) -> None:
    rng = random.Random(1)
    # From within the bootstrap, in two chunks of which the second starts among full dates: its
    # windows have to reach back into the first.
    start = SEASON.start + rng.randrange(5, 14) * DAY
    middle = FIRST + rng.randrange(3, 7) * DAY
    end = middle + rng.randrange(4, 8) * DAY
    empty(warehouse, start, end)
    assert differences(warehouse, reference, DERIVED)

    # Chunks of different sizes, a phase at a time; the service's phase is filled in-process.
    for script in (ANALYTICS, PRECOMPUTE):
        for part in ((start, middle), (middle + DAY, end)):
            done = job(warehouse, script, *between(*part))
            assert done.code == 0, done.err
            assert done.out == ""
    rebuild(warehouse, "predictions", "player_prop_predictions", start, end)
    done = job(warehouse, GRADING, *between(start, end), "--no-resume")
    assert done.code == 0, done.err

    assert differences(warehouse, reference, TABLES) == []


def test_single_dates_can_be_filled_alone(warehouse: Warehouse, reference: Warehouse) -> None:
    days = [FIRST_FULL, FIRST_FULL + DAY, FIRST_FULL + 5 * DAY]
    empty(warehouse, FIRST_FULL, FIRST_FULL + 6 * DAY)

    dates = ",".join(day.isoformat() for day in days)
    done = job(warehouse, ANALYTICS, *between(FIRST_FULL, LAST), "--dates", dates)

    assert done.code == 0, done.err
    (missing,) = differences(warehouse, reference, ["nba_analytics.player_game_summary"])
    assert set(missing.dates).isdisjoint(days)
    assert missing.only_here == 0


def test_precompute_before_an_earlier_date_is_there_gives_other_rows(
    warehouse: Warehouse, reference: Warehouse
) -> None:
    """Given a hole in analytics, when a later date is computed, then it is complete and wrong."""
    hole, later = FIRST_FULL + 2 * DAY, FIRST_FULL + 9 * DAY
    warehouse.run(
        "DELETE FROM nba_analytics.player_game_summary WHERE game_date = @day", {"day": hole}
    )

    for table in PHASES["precompute"]:
        rebuild(warehouse, "precompute", table, later, later)

    wrong = [t for t in DERIVED if t.name.startswith("nba_precompute.")]
    found = differences(warehouse, reference, wrong)
    assert [difference.table for difference in found] == [table.name for table in wrong]
    assert all(difference.dates == (later,) for difference in found)
    assert all(difference.only_here == difference.only_there > 0 for difference in found)


def test_nobody_is_dropped_for_want_of_an_upstream_row(
    warehouse: Warehouse, reference: Warehouse
) -> None:
    """Given zone tables without a date, when later tables are computed, then all are there."""
    for table in ("team_defense_zone_analysis", "player_shot_zone_analysis", "player_daily_cache"):
        warehouse.run(f"DELETE FROM nba_precompute.{table} WHERE game_date = @day", {"day": FIRST})

    for table in ("player_composite_factors", "ml_feature_store"):
        rebuild(warehouse, "precompute", table, FIRST, FIRST)
    rebuild(warehouse, "predictions", "player_prop_predictions", FIRST, FIRST)

    later = [table for table in TABLES if table.name.endswith(("factors", "store", "predictions"))]
    assert [warehouse.coverage(table, FIRST, FIRST) for table in later] == [
        reference.coverage(table, FIRST, FIRST) for table in later
    ]
    found = differences(warehouse, reference, later)
    assert [one.table for one in found] == [table.name for table in later]


@pytest.mark.slow
def test_a_window_reaches_back_thirty_days_and_no_further(
    warehouse: Warehouse, reference: Warehouse
) -> None:
    """Given a hole in analytics, then the rows of its teams differ up to the thirtieth day."""
    hole = SEASON.start + DAY
    edge = hole + 30 * DAY
    playing = "SELECT DISTINCT game_date, team_abbr FROM nba_raw.bdl_player_boxscores"
    dates: dict[str, set[date]] = {}
    for row in reference.rows(playing, {}):
        dates.setdefault(row["team_abbr"], set()).add(row["game_date"])
    teams = [days for days in dates.values() if hole in days]
    expected = {day for days in teams for day in days if FIRST_FULL <= day <= edge}
    assert edge in expected
    assert edge < LAST
    warehouse.run(
        "DELETE FROM nba_analytics.player_game_summary WHERE game_date = @day", {"day": hole}
    )

    for table in PHASES["precompute"]:
        rebuild(warehouse, "precompute", table, FIRST_FULL, LAST)

    found = differences(warehouse, reference, DERIVED)
    teams_found = next(one for one in found if one.table.endswith("defense_zone_analysis"))
    assert set(teams_found.dates) == expected
    for table in ("player_shot_zone_analysis", "player_daily_cache"):
        (dates_found,) = (one.dates for one in found if one.table.endswith(table))
        assert max(dates_found) == edge


@pytest.mark.slow
def test_phase_four_can_start_at_a_later_processor(
    warehouse: Warehouse, reference: Warehouse
) -> None:
    day = FIRST
    for table in ("player_daily_cache", "ml_feature_store"):
        warehouse.run(f"DELETE FROM nba_precompute.{table} WHERE game_date = @day", {"day": day})

    done = job(warehouse, PRECOMPUTE, *between(day, day), "--start-from", "4")

    assert done.code == 0, done.err
    assert "player_composite_factors" not in done.err
    assert differences(warehouse, reference, TABLES) == []


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (between(FIRST_FULL, LAST) + ("--dry-run",), 0),
        (("--start-date", "yesterday", "--end-date", "2021-11-09"), 1),
        (between(LAST, FIRST_FULL), 1),
        (("--start-date", "2021-11-09"), 2),
        (("--unknown",), 2),
        # A range without predictions is nothing to grade.
        (between(SEASON.start, SEASON.start + DAY), 1),
    ],
)
def test_exit_codes_and_a_dry_run_that_writes_nothing(
    arguments: tuple[str, ...], code: int, warehouse: Warehouse, reference: Warehouse
) -> None:
    before = warehouse.versions(DERIVED[-1], SEASON.start, SEASON.end)

    done = job(warehouse, GRADING, *arguments)

    assert done.code == code, done.err
    assert done.err
    assert warehouse.versions(DERIVED[-1], SEASON.start, SEASON.end) == before


def test_faults_on_a_date_crash_or_leave_it_out(warehouse: Warehouse, tmp_path: Path) -> None:
    start, quiet, bad = FIRST, FIRST + DAY, FIRST + 2 * DAY
    empty(warehouse, start, bad)
    faults = tmp_path / "faults.json"
    faults.write_text(
        json.dumps({"analytics": {quiet.isoformat(): "nothing", bad.isoformat(): "crash"}})
    )

    good = job(warehouse, ANALYTICS, *between(start, quiet), faults=faults)
    crashed = job(warehouse, ANALYTICS, *between(start, LAST), faults=faults)

    assert good.code == 0
    assert crashed.code == 1
    held = only_rows_of(warehouse, "player_game_summary")
    assert start in held
    assert not held & {quiet, bad}


def test_a_fault_of_one_processor_stops_the_later_ones(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    day = FIRST
    empty(warehouse, day, day)
    job(warehouse, ANALYTICS, *between(day, day))
    faults = tmp_path / "faults.json"
    faults.write_text(json.dumps({"player_daily_cache": {day.isoformat(): "crash"}}))

    done = job(warehouse, PRECOMPUTE, *between(day, day), faults=faults)

    assert done.code == 1
    assert day in only_rows_of(warehouse, "player_composite_factors")
    assert day not in only_rows_of(warehouse, "player_daily_cache")
    assert day not in only_rows_of(warehouse, "ml_feature_store")


def test_a_hang_waits_until_it_is_killed(warehouse: Warehouse, tmp_path: Path) -> None:
    start = FIRST
    faults = tmp_path / "faults.json"
    faults.write_text(json.dumps({"analytics": {(start + DAY).isoformat(): "hang"}}))

    with subprocess.Popen(
        command(ANALYTICS, *between(start, LAST)),
        cwd=ROOT,
        env=environment(warehouse, faults),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        # The first date is written and said; the second one never ends.
        assert process.stderr.readline().startswith(f"player_game_summary {start} to {start}")
        assert process.poll() is None
        process.terminate()

    assert process.returncode == -15


def test_random_holes_only_delete_and_are_listed_with_their_rows(
    warehouse: Warehouse, reference: Warehouse
) -> None:
    holes = punch(warehouse, PIPELINE, seed=4, holes=12)

    found = differences(warehouse, reference, TABLES)
    assert all(difference.only_here == 0 for difference in found)
    assert sum(difference.only_there for difference in found) == sum(hole.rows for hole in holes)
    assert all(hole.rows > 0 for hole in holes)
    assert {hole.phase for hole in holes} == set(PHASES)
    assert {day for difference in found for day in difference.dates} == {
        hole.start for hole in holes
    }
    assert not [difference for difference in found if difference.table.startswith("nba_raw.")]


@pytest.mark.slow
def test_the_plans_holes_of_a_part_season_are_partial_dates_and_missing_grades(
    warehouse: Warehouse, reference: Warehouse
) -> None:
    holes = punch_plan(warehouse, PIPELINE)

    assert [hole.phase for hole in holes] == [
        *("analytics", "precompute", "precompute", "analytics", "grading")
    ]
    assert all(hole.entity for hole in holes[:4])
    assert only_rows_of(warehouse, "prediction_accuracy") == set()
    assert sum(hole.rows for hole in holes) == sum(
        difference.only_there for difference in differences(warehouse, reference, TABLES)
    )
