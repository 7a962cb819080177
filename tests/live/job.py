"""The owner's scripts as they were seen to behave: what they promise, and what they do instead.

    python -m job PHASE --start-date D --end-date D [--no-resume] [--force]
    python -m job publish (--date D | --start-date D --end-date D) [--only NAMES]

- Exit code 0 says nothing: a date that failed is a line of output.
- A checkpoint per job and range: without `--no-resume` the same range goes on after the *latest*
  date that succeeded, so an earlier one that failed is never done.
- A lock per table and date is left by whoever is killed; while it is young, nothing is done there,
  successfully. `LOCK_SECONDS` is its lifetime.
- The player summary refuses to work on a date with less than 80 % of the team rows.
- Composite factors leave the whole range undone where rosters hold less than 90 % of those who
  played on one date; predictions where the feature store does, or where the zones hold less than
  half of the league. Exit code 0.
- Predictions are made once: a date that has some is left alone, and they cannot be graded.
- Grading fails where the range has no predictions.
- A processor is killed in its table when there is a file `TABLE.dies`, once.
- Publishing a range exits 0 whatever failed; publishing a date does not.

`run_phase4_backfill.sh` calls these by a bare `python3`: see `tests/acceptance/test_live.py`.
The folder that this file is in has to be on the PYTHONPATH. Calls are written to `calls` there.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from datetime import date, timedelta
from pathlib import Path

from tables import (  # type: ignore[import-not-found]
    BY_SCRIPT,
    PREDICTIONS,
    TABLES,
    fill,
)

from sql import Condition, Table, Warehouse, open_warehouse

HERE = Path(__file__).parent
OFFENSE = "nba_analytics.team_offense_game_summary"
PLAYED = "nba_analytics.player_game_summary"
ROSTERS = "nba_analytics.upcoming_player_game_context"
ZONES = "nba_precompute.team_defense_zone_analysis"
FACTORS = "nba_precompute.player_composite_factors"
STORE = "nba_predictions.ml_feature_store_v2"
JOBS = {
    "team-offense": OFFENSE,
    "team-defense": "nba_analytics.team_defense_game_summary",
    "player-summary": PLAYED,
    "upcoming-player": ROSTERS,
    "upcoming-team": "nba_analytics.upcoming_team_game_context",
    "team-zones": ZONES,
    "player-zones": "nba_precompute.player_shot_zone_analysis",
    "composite": FACTORS,
    "daily-cache": "nba_precompute.player_daily_cache",
    "feature-store": STORE,
    "predictions": PREDICTIONS,
    "grading": "nba_predictions.prediction_accuracy",
}
"""Job → the table that it writes."""
LEAGUE = 4
"""Teams."""
SCHEDULE = Table(
    name="nba_raw.nbac_schedule",
    date="game_date",
    entities={"game": "game_id"},
    where={"game_status": Condition(one_of=(3,))},
)


def main(job: str) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--start-date", type=date.fromisoformat)
    parser.add_argument("--end-date", type=date.fromisoformat)
    parser.add_argument("--no-resume", action="store_true")
    parser.add_argument("--force", action="store_true")
    if job == "publish":
        parser.add_argument("--date", type=date.fromisoformat)
        parser.add_argument("--only", default="all of them, live ones included")
    given = parser.parse_args()
    with (HERE / "calls").open("a") as calls:
        calls.write(f"{job} {' '.join(sys.argv[1:])}\n")
    if job == "publish":
        return _publish(given)
    warehouse = open_warehouse(os.environ["BACKFILL_WAREHOUSE"])
    start, end = given.start_date, given.end_date
    days = [start + timedelta(days=n) for n in range((end - start).days + 1)]
    played = [day for day in days if warehouse.coverage(SCHEDULE, day, day)]
    if job == "grading" and not _counted(warehouse, PREDICTIONS, "game_id", start, end):
        return _failed("no predictions in the range")
    why = _refusal(warehouse, job, played)
    if why:
        return _skipped(why)
    if (HERE / f"{JOBS[job]}.dies").exists():
        (HERE / f"{JOBS[job]}.dies").unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    return _work(warehouse, job, _left(job, start, end, played, resume=not given.no_resume), given)


def _work(warehouse: Warehouse, job: str, days: list[date], given: argparse.Namespace) -> int:
    """The dates, one after the other; each that succeeded is in the checkpoint."""
    path = _checkpoint(job, given.start_date, given.end_date)
    done: list[str] = json.loads(path.read_text()) if path.exists() else []
    for day in days:
        if (HERE / f"{JOBS[job]}-{day}.fails").exists():
            (HERE / f"{JOBS[job]}-{day}.fails").unlink()
            print(f"{day}: failed", file=sys.stderr)
            continue
        _date(warehouse, job, day, force=given.force)
        done.append(str(day))
        path.write_text(json.dumps(done))
    return 0


def _left(job: str, start: date, end: date, days: list[date], *, resume: bool) -> list[date]:
    """What a resumed range still does: what comes after the latest success."""
    path = _checkpoint(job, start, end)
    if not (resume and path.exists()):
        return days
    latest = max(map(date.fromisoformat, json.loads(path.read_text())))
    return [day for day in days if day > latest]


def _checkpoint(job: str, start: date, end: date) -> Path:
    return HERE / f"checkpoint-{job}-{start}-{end}.json"


def _date(warehouse: Warehouse, job: str, day: date, *, force: bool) -> None:
    """One date, with its lock."""
    table = JOBS[job]
    lock = HERE / f"{table}-{day}.lock"
    if lock.exists() and lock.read_text():  # a test left it: its life begins when it is met
        lock.write_text("")
    if lock.exists() and time.time() - lock.stat().st_mtime < float(os.environ["LOCK_SECONDS"]):
        _skipped(f"{day}: locked")
        return
    if job == "player-summary" and _on(warehouse, OFFENSE, "team_abbr", day) < 0.8 * LEAGUE:
        _skipped(f"{day}: too few team rows")
        return
    query = None
    if job == "predictions":
        there = _on(warehouse, table, "player_lookup", day)
        if there and not force:
            _skipped(f"{day}: all {there} players already have predictions (use --force)")
            return
        query = BY_SCRIPT.format(query=TABLES[table].query)
    lock.touch()
    fill(warehouse, table, day, day, query=query)
    lock.unlink()


def _refusal(warehouse: Warehouse, job: str, days: list[date]) -> str | None:
    """Why a whole range is left undone, successfully."""
    above = {"composite": ROSTERS, "predictions": STORE}.get(job)
    for day in days if above else ():
        due = _on(warehouse, PLAYED, "player_lookup", day)
        if _on(warehouse, str(above), "player_lookup", day) < 0.9 * due:
            return f"{above} is below 90 % on {day}"
        if job == "predictions" and _on(warehouse, ZONES, "team_abbr", day) < LEAGUE / 2:
            return f"fewer than half of the teams on {day}"
    return None


def _on(warehouse: Warehouse, table: str, column: str, day: date) -> int:
    """How many distinct ids a table holds on a date."""
    return _counted(warehouse, table, column, day, day).get(day, 0)


def _counted(
    warehouse: Warehouse, table: str, column: str, start: date, end: date
) -> dict[date, int]:
    counting = Table(name=table, date=TABLES[table].date, entities={"id": column})
    return {
        day: cell.entities["id"] for day, cell in warehouse.coverage(counting, start, end).items()
    }


def _publish(given: argparse.Namespace) -> int:
    if given.date is not None:
        if (HERE / f"publish-{given.date}.fails").exists():
            return _failed(f"{given.only}: failed")
        (HERE / f"{given.date}.json").write_text(given.only)
        (HERE / "latest.json").write_text(str(given.date))
        return 0
    for n in range((given.end_date - given.start_date).days + 1):
        (HERE / "latest.json").write_text(str(given.start_date + timedelta(days=n)))
    print(f"{given.only}: failed", file=sys.stderr)
    return 0


def _skipped(why: str) -> int:
    print(f"{why}: skipped. Success.", file=sys.stderr)
    return 0


def _failed(why: str) -> int:
    print(why, file=sys.stderr)
    return 1
