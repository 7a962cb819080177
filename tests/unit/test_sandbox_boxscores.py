"""The sandbox's box scores have the real league's shape."""

import random
from collections import Counter
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from planner.errors import UsageError
from planner.pipeline.load import load_pipeline
from planner.pipeline.windows import Season
from planner.sandbox.boxscores import COLUMNS, generate_boxscores, read_boxscores
from planner.sandbox.schedule import TEAMS, Game, season_games

SEASONS = tuple(season for season in load_pipeline("nba").seasons if season.windows)
"""Those whose playoffs have dates: of the next one they are not known yet."""
DAY = timedelta(days=1)


@pytest.fixture(scope="module", params=SEASONS, ids=lambda season: season.name)
def season(request: pytest.FixtureRequest) -> Season:
    assert isinstance(request.param, Season)
    return request.param


@pytest.fixture(scope="module")
def games(season: Season) -> list[Game]:
    return season_games(season, random.Random(season.year))


@pytest.fixture(scope="module")
def boxscores() -> pa.Table:
    return generate_boxscores(SEASONS[:1], seed=5)


@pytest.fixture(scope="module")
def rows(boxscores: pa.Table) -> list[dict[str, Any]]:
    return boxscores.to_pylist()


def kind(games: list[Game], prefix: str) -> list[Game]:
    return [game for game in games if game.id.startswith(prefix)]


def test_a_regular_season_is_1230_games_before_the_play_in(
    season: Season, games: list[Game]
) -> None:
    regular = kind(games, "002")

    assert len(regular) == 1230
    assert {game.id for game in regular} == {
        f"002{season.year % 100}{number:05d}" for number in range(1, 1231)
    }
    assert min(game.day for game in regular) == season.start
    assert max(game.day for game in regular) < season.windows["play_in"].start
    assert 155 <= len({game.day for game in regular}) <= 166


def test_every_team_plays_82_games_41_of_them_at_home(games: list[Game]) -> None:
    regular = kind(games, "002")

    assert Counter(game.home for game in regular) == dict.fromkeys(TEAMS, 41)
    assert Counter(game.away for game in regular) == dict.fromkeys(TEAMS, 41)


def test_no_team_plays_twice_on_a_date(games: list[Game]) -> None:
    sides = Counter((game.day, team) for game in games for team in (game.home, game.away))

    assert max(sides.values()) == 1


def test_the_all_star_break_and_the_holidays_have_no_games(
    season: Season, games: list[Game]
) -> None:
    days = sorted({game.day for game in games})
    february = [after - before for before, after in pairwise(days) if after.month == 2]

    assert max(february) > 5 * DAY
    assert date(season.year, 12, 24) not in days
    assert not [
        day for day in days if day.month == 11 and day.weekday() == 3 and 22 <= day.day <= 28
    ]


def test_the_play_in_is_six_games_within_its_window(season: Season, games: list[Game]) -> None:
    play_in = kind(games, "005")

    assert len(play_in) == 6
    assert all(game.day in season.windows["play_in"] for game in play_in)


def test_the_playoffs_are_fifteen_series_within_their_window(
    season: Season, games: list[Game]
) -> None:
    playoffs = kind(games, "004")
    series = Counter(game.id[:9] for game in playoffs)
    wins = Counter((game.id[:9], game.winner) for game in playoffs)

    assert 80 <= len(playoffs) <= 90
    assert len(series) == 15
    assert all(4 <= length <= 7 for length in series.values())
    assert sorted(wins.values())[-15:] == [4] * 15
    assert all(game.day in season.windows["playoffs"] for game in playoffs)
    assert len({game.id for game in games}) == len(games)


def test_nobody_plays_twice_on_a_date_and_20_to_26_play_in_a_game(
    rows: list[dict[str, Any]],
) -> None:
    players = Counter((row["game_date"], row["player_id"]) for row in rows)
    sizes = Counter(row["game_id"] for row in rows)

    assert max(players.values()) == 1
    assert 20 <= min(sizes.values()) <= max(sizes.values()) <= 26


def test_points_are_what_the_shots_made(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        assert row["points"] == 2 * (row["fgm"] - row["fg3m"]) + 3 * row["fg3m"] + row["ftm"]
        assert 0 <= row["fg3m"] <= row["fgm"] <= row["fga"]
        assert row["fg3m"] <= row["fg3a"] <= row["fga"]
        assert 0 <= row["ftm"] <= row["fta"]
        assert (row["minutes"] * 60) == pytest.approx(round(row["minutes"] * 60))


def test_who_wins_a_playoff_game_scores_more(rows: list[dict[str, Any]]) -> None:
    scores = Counter[tuple[str, str]]()
    for row in rows:
        scores[row["game_id"], row["team_abbr"]] += row["points"]
    opponents = {(row["game_id"], row["team_abbr"], row["opponent_abbr"]) for row in rows}

    assert all(scores[game, one] != scores[game, other] for game, one, other in opponents)
    wins = Counter(
        (game[:9], one)
        for game, one, other in opponents
        if game.startswith("004") and scores[game, one] > scores[game, other]
    )
    assert sorted(wins.values())[-15:] == [4] * 15


def test_a_seed_gives_the_same_rows_whatever_other_seasons_are_made(boxscores: pa.Table) -> None:
    both = generate_boxscores(SEASONS[:2], seed=5)
    other = generate_boxscores(SEASONS[:1], seed=6)

    assert boxscores.schema == COLUMNS
    assert both.slice(0, boxscores.num_rows).equals(boxscores)
    assert not other.equals(boxscores)


def test_a_users_file_gives_its_rows_of_the_seasons(
    boxscores: pa.Table, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("user") / "mine.parquet"
    pq.write_table(boxscores.append_column("more", pa.nulls(boxscores.num_rows)), path)

    assert read_boxscores(path, SEASONS).equals(boxscores)
    with pytest.raises(UsageError, match="no game of the pipeline's seasons"):
        read_boxscores(path, SEASONS[1:])


def test_a_users_file_without_a_column_is_refused_by_its_name(
    boxscores: pa.Table, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("user") / "mine.parquet"
    pq.write_table(boxscores.drop_columns(["fga", "minutes"]), path)

    with pytest.raises(UsageError, match="lacks the columns minutes, fga"):
        read_boxscores(path, SEASONS)


def test_a_users_file_with_a_player_twice_on_a_date_is_refused(
    boxscores: pa.Table, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("user") / "mine.parquet"
    pq.write_table(pa.concat_tables([boxscores, boxscores.slice(0, 1)]), path)

    with pytest.raises(UsageError, match="twice"):
        read_boxscores(path, SEASONS)


@pytest.mark.parametrize("content", [None, b"not parquet"])
def test_what_is_no_parquet_file_is_refused(
    content: bytes | None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("user") / "mine.parquet"
    if content:
        path.write_bytes(content)

    with pytest.raises(UsageError, match="mine.parquet"):
        read_boxscores(path, SEASONS)
