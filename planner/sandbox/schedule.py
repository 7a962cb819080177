"""A season's games: which teams play on which date, in the shape of the real league's calendar.

Thirty teams play 1,230 regular-season games between the season's start and its play-in, with an
All-Star break and the league's customary off-days; six play-in games; a playoff bracket whose
fifteen best-of-seven series fit the playoffs' window.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from planner.pipeline.windows import DAY, Season, Window

EAST = (
    *("ATL", "BKN", "BOS", "CHA", "CHI", "CLE", "DET", "IND"),
    *("MIA", "MIL", "NYK", "ORL", "PHI", "TOR", "WAS"),
)
WEST = (
    *("DAL", "DEN", "GSW", "HOU", "LAC", "LAL", "MEM", "MIN"),
    *("NOP", "OKC", "PHX", "POR", "SAC", "SAS", "UTA"),
)
TEAMS = EAST + WEST

# Games on a date, by weekday from Monday. Their sum over a season is near 1,230.
_BUSY = (8, 6, 10, 4, 11, 8, 7)
_CHRISTMAS_GAMES = 5
_OPENING_GAMES = 2
# Dates without games beyond those with a name, spread over the season.
_QUIET_DATES = 2
# The fifteen series are dealt from these lengths: 83 to 89 games.
_SERIES_LENGTHS = (4, 4, 4, 5, 5, 5, 5, 6, 6, 6, 6, 6, 7, 7, 7, 7, 7)
# Days from the playoffs' start to the first game of each round's series; games are two days
# apart, so a series of seven takes thirteen days. The finals end with the window.
_ROUND_STARTS = (0, 15, 29)
_SERIES_DAYS = 13


@dataclass(frozen=True, kw_only=True, slots=True)
class Game:
    """A game before it is played."""

    id: str
    """Ten digits: `002` regular season, `005` play-in, `004` playoffs; then the season's year."""
    day: date
    home: str
    away: str
    winner: str | None = None
    """The team that has to win; None: the one that scores more."""


def season_games(season: Season, rng: random.Random) -> list[Game]:
    """Every game of the season by date and id. `rng` decides what is random."""
    games = list(_regular(season, rng))
    if "play_in" in season.windows:
        games += _play_in(season, season.windows["play_in"], rng)
    if "playoffs" in season.windows:
        games += _playoffs(season, season.windows["playoffs"], rng)
    return sorted(games, key=lambda game: (game.day, game.id))


def off_days(season: Season) -> frozenset[date]:
    """Days of the regular season on which the league customarily does not play."""
    year = season.year
    elections = _nth(year, 11, weekday=0, n=1) + DAY
    thanksgiving = _nth(year, 11, weekday=3, n=4)
    all_star_sunday = _nth(year + 1, 2, weekday=6, n=3)
    college_final = _nth(year + 1, 4, weekday=0, n=1)
    all_star = (all_star_sunday + n * DAY for n in range(-2, 4))
    last = _regular_end(season)
    return frozenset({elections, thanksgiving, date(year, 12, 24), college_final, last, *all_star})


def _nth(year: int, month: int, *, weekday: int, n: int) -> date:
    """The month's n-th such weekday; Monday is 0."""
    first = date(year, month, 1)
    return first + ((weekday - first.weekday()) % 7 + 7 * (n - 1)) * DAY


def _regular_end(season: Season) -> date:
    """The last day on which a regular-season game may be played."""
    windows = season.windows.values()
    return min((window.start for window in windows), default=season.end + DAY) - DAY


def _regular(season: Season, rng: random.Random) -> Iterator[Game]:
    days = list(Window(start=season.start, end=_regular_end(season)).days())
    quiet = off_days(season)
    days = [day for day in days if day not in quiet]
    # Never a quiet date beside the opening or the last day of the season.
    extra = set(rng.sample(days[14:-14], _QUIET_DATES))
    days = [day for day in days if day not in extra]
    played = _spread(_matchups(rng), days, rng)
    number = 0
    for day in days:
        for home, away in sorted(played[day]):
            number += 1
            yield Game(id=f"002{season.year % 100:02d}{number:05d}", day=day, home=home, away=away)


def _matchups(rng: random.Random) -> list[tuple[str, str]]:
    """(home, away) of 1,230 games: 82 a team, 41 of them at home.

    Two games against each team of the other conference; four against ten teams of the own one
    and three against four, where the neighbours on a circle say which.
    """
    pairs = [pair for east in EAST for west in WEST for pair in ((east, west), (west, east))]
    for conference in (EAST, WEST):
        circle = rng.sample(conference, len(conference))
        for i, team in enumerate(circle):
            for distance in range(1, 8):
                other = circle[(i + distance) % len(circle)]
                at_home, away = (2, 2) if distance <= 5 else (2, 1)
                pairs += [(team, other)] * at_home + [(other, team)] * away
    rng.shuffle(pairs)
    return pairs


def _spread(
    pairs: list[tuple[str, str]], days: list[date], rng: random.Random
) -> dict[date, list[tuple[str, str]]]:
    """Give every game a date on which both of its teams are free."""
    waiting = list(pairs)
    left = dict.fromkeys(TEAMS, 0)
    for home, away in pairs:
        left[home] += 1
        left[away] += 1
    rooms = _rooms(days, len(pairs), rng)
    played: dict[date, list[tuple[str, str]]] = {}
    busy: dict[date, set[str]] = {}
    # The last day is filled first: every team plays then.
    for day in (days[-1], *days[:-1]):
        # Teams that are behind come first, so that no team is left with more games than dates.
        rng.shuffle(waiting)
        waiting.sort(key=lambda pair: left[pair[0]] + left[pair[1]], reverse=True)
        played[day], busy[day], rest = [], set(), []
        for pair in waiting:
            if len(played[day]) < rooms[day] and busy[day].isdisjoint(pair):
                _place(pair, day, played, busy)
                left[pair[0]] -= 1
                left[pair[1]] -= 1
            else:
                rest.append(pair)
        waiting = rest
    for pair in waiting:
        free = [day for day in days if busy[day].isdisjoint(pair)]
        _place(pair, rng.choice(free), played, busy)
    return played


def _place(
    pair: tuple[str, str],
    day: date,
    played: dict[date, list[tuple[str, str]]],
    busy: dict[date, set[str]],
) -> None:
    played[day].append(pair)
    busy[day].update(pair)


def _rooms(days: list[date], games: int, rng: random.Random) -> dict[date, int]:
    """How many games each date takes: `games` in all."""
    rooms = {day: _BUSY[day.weekday()] for day in days}
    fixed = {days[0]: _OPENING_GAMES, days[-1]: len(TEAMS) // 2}
    fixed |= {day: _CHRISTMAS_GAMES for day in days if (day.month, day.day) == (12, 25)}
    rooms |= fixed
    others = [day for day in days if day not in fixed]
    while surplus := sum(rooms.values()) - games:
        day = rng.choice(others)
        rooms[day] = min(max(rooms[day] + (1 if surplus < 0 else -1), 1), len(TEAMS) // 2)
    return rooms


def _play_in(season: Season, window: Window, rng: random.Random) -> Iterator[Game]:
    """Two games on each of three dates: 7 against 8, 9 against 10, and the two that decide."""
    days = (window.start, window.start + DAY, window.end)
    for side, conference in enumerate((EAST, WEST), start=1):
        seventh, eighth, ninth, tenth = rng.sample(conference, 4)
        for game, (day, home, away) in enumerate(
            zip(days, (seventh, ninth, eighth), (eighth, tenth, ninth), strict=True)
        ):
            number = f"005{season.year % 100:02d}001{game}{side}"
            yield Game(id=number, day=day, home=home, away=away)


def _playoffs(season: Season, window: Window, rng: random.Random) -> Iterator[Game]:
    lengths = rng.sample(_SERIES_LENGTHS, 15)
    finals = max((window.end - window.start).days + 1 - _SERIES_DAYS, 0)
    teams = [*rng.sample(EAST, 8), *rng.sample(WEST, 8)]
    for number, start in enumerate((*_ROUND_STARTS, finals), start=1):
        winners = []
        for series, (better, worse) in enumerate(zip(teams[::2], teams[1::2], strict=True)):
            games, first = lengths.pop(), window.start + (start + series % 2) * DAY
            winner, loser = (better, worse) if rng.random() < 0.6 else (worse, better)
            wins = [winner] * 3 + [loser] * (games - 4)
            rng.shuffle(wins)
            for game, won in enumerate([*wins, winner], start=1):
                home, away = (better, worse) if game in (1, 2, 5, 7) else (worse, better)
                yield Game(
                    id=f"004{season.year % 100:02d}00{number}{series}{game}",
                    day=first + 2 * (game - 1) * DAY,
                    home=home,
                    away=away,
                    winner=won,
                )
            winners.append(winner)
        teams = winners
