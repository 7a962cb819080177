"""Tables of the live names with so many rows a date as a report counted, and ids of our own.

A report has numbers alone. Players, teams and games are numbered from 0 on every date, so that of
two tables the one with fewer rows holds a part of the other: that is how rosters, those who played
and those with a history stand to each other.
"""

from __future__ import annotations

import csv
import random
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from deltalake import write_deltalake

TEAMS_OF_A_GAME = 2
LEAGUE_TEAMS, LEAGUE_PLAYERS = 30, 500
NEEDED_DAYS = {"teams": 25, "players": 17}
"""Days of a season after which the first of them has games enough for a zone analysis."""

Counts = dict[str, int]
Row = dict[str, Any]


def read_counts(path: Path) -> dict[date, Counts]:
    """Date → column → count, of a report."""
    with path.open() as file:
        return {
            date.fromisoformat(row.pop("game_date")): {name: int(n) for name, n in row.items()}
            for row in csv.DictReader(file)
        }


def made_up(first: date, days: int, *, seed: int, cut: set[int]) -> dict[date, Counts]:
    """The same of a season that never was; on the days `cut` rosters were not loaded in full."""
    chance = random.Random(seed)
    found = {}
    for n in range(days):
        games = chance.choice([0, 2, 5, 8, 12])
        if not games and n not in cut:
            continue
        games = games or 3
        played = games * chance.randint(19, 24)
        roster = games * 34 if n not in cut else played // 3
        is_late = n >= 14
        found[first + timedelta(days=n)] = {
            "scheduled_games": games,
            "nbac_gamebook": games,
            "player_game_summary": played,
            "team_defense": games * TEAMS_OF_A_GAME,
            "upcoming_context": roster,
            "pdc": int(roster * chance.uniform(0.5, 0.9)) if is_late else 0,
            "pcf": roster if is_late else 0,
            "psza": max(0, min(LEAGUE_PLAYERS, 40 * (n - NEEDED_DAYS["players"]))),
            "tdza": max(0, min(LEAGUE_TEAMS, 4 * (n - NEEDED_DAYS["teams"]))),
            "unique_players": played if is_late else 0,
            "unique_systems": 5 if is_late else 0,
        }
    return found


def write_tables(folder: Path, counts: dict[date, Counts], schema: dict[str, pa.Schema]) -> None:
    """Write every table of `schema`; a column that no rule fills is NULL."""
    rows: dict[str, list[Row]] = {name: [] for name in schema}
    for day, of in counts.items():
        for name, found in _tables(day, of).items():
            rows[name] += found
    for name, columns in schema.items():
        table = pa.Table.from_pylist(rows[name], schema=columns)
        write_deltalake(folder.joinpath(*name.split(".")), table, mode="append")


@dataclass(frozen=True, kw_only=True)
class _Day:
    day: date
    games: int

    def game(self, n: int) -> str:
        return f"{self.day}-{n % max(self.games, 1)}"

    def players(self, count: int, when: str = "game_date") -> list[Row]:
        return [
            {
                "player_lookup": f"p{n}",
                "game_id": self.game(n),
                "team_abbr": self.team(n),
                when: self.day,
            }
            for n in range(count)
        ]

    def team(self, n: int) -> str:
        side = n // max(self.games, 1) % TEAMS_OF_A_GAME
        return f"t{TEAMS_OF_A_GAME * (n % max(self.games, 1)) + side}"

    def teams(self, count: int, column: str = "team_abbr", when: str = "game_date") -> list[Row]:
        return [
            {column: f"t{n}", "game_id": f"{self.day}-{n // TEAMS_OF_A_GAME}", when: self.day}
            for n in range(count)
        ]


def _tables(day: date, of: Counts) -> dict[str, list[Row]]:
    it = _Day(day=day, games=of["scheduled_games"])
    teams = TEAMS_OF_A_GAME * it.games
    games = [{"game_id": it.game(n), "game_date": day} for n in range(it.games)]
    guesses = [
        {**player, "system_id": f"s{n}", "line_source": "NO_PROP_LINE", "is_active": True}
        for player in it.players(of["unique_players"])
        for n in range(of["unique_systems"])
    ]
    roster = it.players(of["upcoming_context"])
    factors = it.players(of["pcf"])
    return {
        "nba_raw.nbac_schedule": [{**game, "game_status": 3} for game in games],
        "nba_raw.nbac_gamebook_player_stats": it.teams(TEAMS_OF_A_GAME * of["nbac_gamebook"]),
        "nba_analytics.team_offense_game_summary": it.teams(teams),
        "nba_analytics.team_defense_game_summary": it.teams(
            of["team_defense"], "defending_team_abbr"
        ),
        "nba_analytics.player_game_summary": it.players(of["player_game_summary"]),
        "nba_analytics.upcoming_player_game_context": roster,
        "nba_analytics.upcoming_team_game_context": it.teams(teams),
        "nba_precompute.team_defense_zone_analysis": it.teams(of["tdza"], when="analysis_date"),
        "nba_precompute.player_shot_zone_analysis": it.players(of["psza"], "analysis_date"),
        "nba_precompute.player_composite_factors": factors,
        "nba_precompute.player_daily_cache": it.players(of["pdc"], "cache_date"),
        "nba_predictions.ml_feature_store_v2": factors,
        "nba_predictions.player_prop_predictions": guesses,
        "nba_predictions.prediction_accuracy": [{**guess, "is_voided": None} for guess in guesses],
    }
