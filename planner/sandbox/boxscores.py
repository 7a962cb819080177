"""Player box scores: made from a seed, or read from a user's Parquet file.

Both give one `pyarrow.Table` of the columns in `COLUMNS`, one row per player and game.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from planner.errors import UsageError
from planner.pipeline.windows import Season
from planner.sandbox.schedule import TEAMS, Game, season_games

COLUMNS = pa.schema(
    [
        pa.field("season_year", pa.int32(), nullable=False),
        pa.field("game_date", pa.date32(), nullable=False),
        pa.field("game_id", pa.string(), nullable=False),
        pa.field("season_type", pa.string(), nullable=False),
        pa.field("team_abbr", pa.string(), nullable=False),
        pa.field("opponent_abbr", pa.string(), nullable=False),
        pa.field("is_home", pa.bool_(), nullable=False),
        pa.field("player_id", pa.int64(), nullable=False),
        pa.field("player_name", pa.string(), nullable=False),
        pa.field("minutes", pa.float64()),
        pa.field("points", pa.int32(), nullable=False),
        pa.field("rebounds", pa.int32(), nullable=False),
        pa.field("assists", pa.int32(), nullable=False),
        pa.field("steals", pa.int32(), nullable=False),
        pa.field("blocks", pa.int32(), nullable=False),
        pa.field("turnovers", pa.int32(), nullable=False),
        pa.field("fgm", pa.int32()),
        pa.field("fga", pa.int32()),
        pa.field("fg3m", pa.int32()),
        pa.field("fg3a", pa.int32()),
        pa.field("ftm", pa.int32()),
        pa.field("fta", pa.int32()),
        pa.field("plus_minus", pa.int32(), nullable=False),
        pa.field("source", pa.string()),
    ]
)

SOURCE = "sandbox"
_TYPES = {"002": "Regular Season", "004": "Playoffs", "005": "Play-In"}

_ROSTER = 15
_TEAM_SECONDS = 5 * 48 * 60  # five players at once, four quarters of twelve minutes
_FIRST_PLAYER = 1_700_001
_FIRST_NAMES = ("Ade", "Bo", "Cas", "Dov", "Eli", "Finn", "Gus", "Hale", "Ivo", "Jory", "Kip")
_LAST_NAMES = ("Ash", "Brook", "Cliff", "Dale", "Elm", "Ford", "Glen", "Heath", "Isle", "Knoll")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Player:
    """A player's habits, which are the same all season."""

    id: int
    name: str
    share: float
    """Of his team's time, before it is divided among those who play."""
    shots_per_second: float
    three_rate: float
    two_share: float
    three_share: float
    free_share: float


# A player's numbers in a game, in this order: minutes, points, rebounds, assists, steals,
# blocks, turnovers, fgm, fga, fg3m, fg3a, ftm, fta.
_Line = tuple[_Player, float, int, int, int, int, int, int, int, int, int, int, int, int]


def generate_boxscores(seasons: Iterable[Season], *, seed: int = 1) -> pa.Table:
    """Box scores of whole seasons by date. The same season and seed give the same rows.

    About 1,320 games and 30,000 rows a season.
    """
    rows: list[tuple[Any, ...]] = []
    for season in seasons:
        # Text seeds are hashed the same way in every process and version.
        rng = random.Random(f"{seed} {season.year}")
        rosters = _rosters(rng)
        for game in season_games(season, rng):
            rows += _play(season.year, game, rosters, rng)
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(COLUMNS)
    arrays = [pa.array(column, field.type) for column, field in zip(columns, COLUMNS, strict=True)]
    return pa.Table.from_arrays(arrays, schema=COLUMNS)


def _rosters(rng: random.Random) -> dict[str, list[_Player]]:
    """Fifteen players a team, those who play most first."""
    rosters: dict[str, list[_Player]] = {}
    for place, team in enumerate(TEAMS):
        rosters[team] = []
        for rank in range(_ROSTER):
            number = place * _ROSTER + rank
            first = _FIRST_NAMES[number % len(_FIRST_NAMES)]
            last = _LAST_NAMES[number // len(_FIRST_NAMES) % len(_LAST_NAMES)]
            rosters[team].append(
                _Player(
                    id=_FIRST_PLAYER + number,
                    name=f"{first} {last} {team}",
                    share=36 - 2.2 * rank,
                    shots_per_second=rng.uniform(0.8, 1.3) * 88 / _TEAM_SECONDS,
                    three_rate=rng.uniform(0.1, 0.6),
                    two_share=rng.uniform(0.48, 0.6),
                    three_share=rng.uniform(0.3, 0.42),
                    free_share=rng.uniform(0.65, 0.9),
                )
            )
    return rosters


def _play(
    year: int, game: Game, rosters: dict[str, list[_Player]], rng: random.Random
) -> list[tuple[Any, ...]]:
    """One game's rows, home team first. Played again until the team that has to win has won."""
    while True:
        home, away = _lines(rosters[game.home], rng), _lines(rosters[game.away], rng)
        margin = sum(line[2] for line in home) - sum(line[2] for line in away)
        if margin and game.winner in (None, game.home if margin > 0 else game.away):
            break
    kind = _TYPES[game.id[:3]]
    rows = []
    for team, other, lines, ahead in (
        (game.home, game.away, home, margin),
        (game.away, game.home, away, -margin),
    ):
        at_home = team == game.home
        for player, minutes, *numbers in lines:
            on_floor = round(ahead * minutes / 48 + rng.uniform(-8, 8))
            rows.append(
                (year, game.day, game.id, kind, team, other, at_home, player.id, player.name)
                + (minutes, *numbers, on_floor, SOURCE)
            )
    return rows


def _lines(roster: Sequence[_Player], rng: random.Random) -> list[_Line]:
    """What ten to thirteen players of a team do in a game."""
    chance = rng.random
    order = sorted(range(_ROSTER), key=lambda rank: rank + 8 * chance())
    playing = [roster[rank] for rank in sorted(order[: 10 + int(4 * chance())])]
    shares = [player.share * (0.7 + 0.6 * chance()) for player in playing]
    scale = _TEAM_SECONDS / sum(shares)
    lines: list[_Line] = []
    for player, share in zip(playing, shares, strict=True):
        seconds = max(int(share * scale), 30)
        shots = int(player.shots_per_second * seconds * (0.6 + 0.8 * chance()) + chance())
        fg3a = sum([chance() < player.three_rate for _ in range(shots)])
        fg3m = sum([chance() < player.three_share for _ in range(fg3a)])
        fg2m = sum([chance() < player.two_share for _ in range(shots - fg3a)])
        fta = 2 * int(0.25 * shots * chance() + chance() * 0.7)
        ftm = sum([chance() < player.free_share for _ in range(fta)])
        per_game = seconds / 1440
        lines.append(
            (
                player,
                seconds / 60,
                2 * fg2m + 3 * fg3m + ftm,
                int(12 * per_game * chance()),
                int(5.5 * per_game * chance()),
                int(2.4 * per_game * chance()),
                int(1.9 * per_game * chance()),
                int(3.5 * per_game * chance()),
                fg2m + fg3m,
                shots,
                fg3m,
                fg3a,
                ftm,
                fta,
            )
        )
    return lines


def read_boxscores(path: Path, seasons: Iterable[Season]) -> pa.Table:
    """The user's box scores within the seasons, as `COLUMNS`.

    The file may have more columns. Raises `UsageError` when it cannot be read, lacks a column,
    holds text where a number belongs, holds a player twice on a date, or nothing in the seasons.
    """
    try:
        names = pq.read_schema(path).names
        if missing := [name for name in COLUMNS.names if name not in names]:
            raise UsageError(f"{path} lacks the columns {', '.join(missing)}.")
        table = pq.read_table(path, columns=COLUMNS.names).select(COLUMNS.names).cast(COLUMNS)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error}. Name a Parquet file.") from None
    except (pa.ArrowException, ValueError) as error:
        raise UsageError(f"{path} does not hold box scores: {error} Name a Parquet file.") from None
    inside = [
        pc.and_(
            pc.greater_equal(table["game_date"], pa.scalar(season.start)),
            pc.less_equal(table["game_date"], pa.scalar(season.end)),
        )
        for season in seasons
    ]
    keep = inside[0] if inside else pa.array([False] * table.num_rows)
    for mask in inside[1:]:
        keep = pc.or_(keep, mask)
    table = table.filter(keep)
    if not table.num_rows:
        raise UsageError(f"{path} holds no game of the pipeline's seasons.")
    if table.group_by(["game_date", "player_id"]).aggregate([]).num_rows < table.num_rows:
        raise UsageError(f"{path} holds a player twice on a date.")
    return table.sort_by([("game_date", "ascending"), ("game_id", "ascending")])
