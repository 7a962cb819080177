"""The owner's scripts as they behave: what they promise, and what they do instead.

    python -m job PHASE --start-date D --end-date D [--dates …] [--no-resume] [--start-from N]

- Exit code 0 says nothing: a date that failed is a line of output.
- A lock per table and date is left by whoever is killed; while it is young, nothing is done there,
  successfully. `LOCK_SECONDS` is its lifetime.
- The player summary refuses to work on a date with less than 80 % of the team rows.
- Phase 4 wants 95 % of the dates of every phase 3 table in the range before it begins.
- Predictions look at the middle date of the range first, and fail when nothing is played there.
- A processor is killed in its table when there is a file `TABLE.dies`, once.
- The export of a range exits 0 whatever happened, and leaves its last date as `latest.json`.

The folder that this file is in has to be on the PYTHONPATH. Calls are written to `calls` there.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from datetime import date, timedelta
from pathlib import Path

from tables import TABLES, fill  # type: ignore[import-not-found]

from sql import Condition, Table, Warehouse, open_warehouse

HERE = Path(__file__).parent
OFFENSE = "nba_analytics.team_offense_game_summary"
PHASES = {
    "team-offense": [OFFENSE],
    "team-defense": ["nba_analytics.team_defense_game_summary"],
    "player-summary": ["nba_analytics.player_game_summary"],
    "upcoming-player": ["nba_analytics.upcoming_player_game_context"],
    "upcoming-team": ["nba_analytics.upcoming_team_game_context"],
    "precompute": [
        "nba_precompute.team_defense_zone_analysis",
        "nba_precompute.player_shot_zone_analysis",
        "nba_precompute.player_composite_factors",
        "nba_precompute.player_daily_cache",
        "nba_predictions.ml_feature_store_v2",
    ],
    "predictions": ["nba_predictions.player_prop_predictions"],
    "grading": ["nba_predictions.prediction_accuracy"],
}
ANALYTICS = [PHASES[phase][0] for phase in list(PHASES)[:5]]
SCHEDULE = Table(
    name="nba_raw.nbac_schedule",
    date="game_date",
    entities={"game": "game_id"},
    where={"game_status": Condition(one_of=(3,))},
)


def main(phase: str) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--start-date", type=date.fromisoformat, required=True)
    parser.add_argument("--end-date", type=date.fromisoformat, required=True)
    parser.add_argument("--no-resume", action="store_true")
    if phase == "precompute":
        parser.add_argument("--start-from", type=int, choices=range(1, 6), default=1)
    given = parser.parse_args()
    with (HERE / "calls").open("a") as calls:
        calls.write(f"{phase} {' '.join(sys.argv[1:])}\n")
    start, end = given.start_date, given.end_date
    if phase == "publish":
        return _export(start, end)
    warehouse = open_warehouse(os.environ["BACKFILL_WAREHOUSE"])
    days = [start + timedelta(days=n) for n in range((end - start).days + 1)]
    played = [day for day in days if warehouse.coverage(SCHEDULE, day, day)]
    if phase == "precompute":
        for name in ANALYTICS:
            held = _held(warehouse, name, start, end)
            if not played or len(held & set(played)) < 0.95 * len(played):
                return _failed(f"preflight: {name} has {len(held)} of {len(played)} dates")
    if phase == "predictions" and days[len(days) // 2] not in played:
        return _failed(f"preflight: nothing on {days[len(days) // 2]}")
    if phase == "grading" and not _held(warehouse, PHASES["predictions"][0], start, end):
        return _failed("no predictions in the range")
    for table in PHASES[phase][getattr(given, "start_from", 1) - 1 :]:
        if (HERE / f"{table}.dies").exists():
            (HERE / f"{table}.dies").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        for day in played:
            _work(warehouse, phase, table, day)
    return 0


def _work(warehouse: Warehouse, phase: str, table: str, day: date) -> None:
    """One date, with its lock."""
    lock = HERE / f"{table}-{day}.lock"
    if lock.exists() and lock.read_text():  # a test left it: its life begins when it is met
        lock.write_text("")
    if lock.exists() and time.time() - lock.stat().st_mtime < float(os.environ["LOCK_SECONDS"]):
        print(f"{day}: locked, skipped. Success.", file=sys.stderr)
        return
    if phase == "player-summary":
        teams = warehouse.coverage(
            Table(name=OFFENSE, date="game_date", entities={"team": "team_abbr"}), day, day
        )
        if not teams or teams[day].entities["team"] < 0.8 * 4:
            print(f"{day}: too few team rows. Success.", file=sys.stderr)
            return
    lock.touch()
    fill(warehouse, table, day, day)
    lock.unlink()


def _held(warehouse: Warehouse, table: str, start: date, end: date) -> set[date]:
    return set(warehouse.coverage(Table(name=table, date=TABLES[table].date), start, end))


def _export(start: date, end: date) -> int:
    for n in range((end - start).days + 1):
        day = start + timedelta(days=n)
        (HERE / f"{day}.json").write_text(str(day))
        (HERE / "latest.json").write_text(str(day))
    return 0


def _failed(why: str) -> int:
    print(why, file=sys.stderr)
    return 1
