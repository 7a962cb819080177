"""Small stand-ins for the owner's jobs: what each live table is computed from.

The zone analyses begin where a team has games enough, and a player. Every figure depends on what
is upstream, and those of the precompute tables on the 30 days before
as well, so that rows computed too early differ from rows computed in order.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from sqlglot import parse_one

from sql import Warehouse

RAW = {
    "nba_raw.nbac_schedule": """
          SELECT CONCAT('G', CAST(day AS STRING), '-', CAST(n AS STRING)) AS game_id,
            day AS game_date, CASE WHEN n <= 2 THEN 3 ELSE 1 END AS game_status
          FROM UNNEST(GENERATE_DATE_ARRAY(@start_date, @end_date)) AS day,
            UNNEST(GENERATE_ARRAY(1, 3)) AS n
          WHERE EXTRACT(DAY FROM day) != 4""",
    "nba_raw.nbac_gamebook_player_stats": """
          SELECT game_id, game_date, CONCAT('T', CAST(team AS STRING), RIGHT(game_id, 1))
              AS team_abbr,
            CONCAT('p', CAST(player AS STRING), CAST(team AS STRING), RIGHT(game_id, 1))
              AS player_lookup,
            EXTRACT(DAY FROM game_date) + 3 * player + team AS points, player AS turnovers
          FROM nba_raw.nbac_schedule, UNNEST(GENERATE_ARRAY(1, 2)) AS team,
            UNNEST(GENERATE_ARRAY(1, 3)) AS player
          WHERE game_date BETWEEN @start_date AND @end_date AND game_status = 3""",
}
"""Two games a day and one that is postponed; nothing on the fourth of a month."""


@dataclass(frozen=True, kw_only=True)
class Filled:
    """A table: its date column, and the query for the columns that are not NULL."""

    date: str
    query: str


GAMES_BEFORE = """
    SELECT now.game_date, now.player_lookup, COUNT(DISTINCT past.game_date) AS games,
      SUM(past.points) AS points
    FROM nba_analytics.player_game_summary AS now
    JOIN nba_analytics.player_game_summary AS past
      ON past.player_lookup = now.player_lookup
      AND past.game_date BETWEEN DATE_SUB(now.game_date, INTERVAL 30 DAY) AND now.game_date
    WHERE now.game_date BETWEEN @start_date AND @end_date
    GROUP BY now.game_date, now.player_lookup"""

TABLES = {
    "nba_analytics.team_offense_game_summary": Filled(
        date="game_date",
        query="""SELECT game_id, game_date, team_abbr, SUM(points) AS fg_attempts
            FROM nba_raw.nbac_gamebook_player_stats
            WHERE game_date BETWEEN @start_date AND @end_date
            GROUP BY game_id, game_date, team_abbr""",
    ),
    "nba_analytics.team_defense_game_summary": Filled(
        date="game_date",
        query="""SELECT DISTINCT game_id, game_date, team_abbr AS defending_team_abbr
            FROM nba_raw.nbac_gamebook_player_stats
            WHERE game_date BETWEEN @start_date AND @end_date""",
    ),
    "nba_analytics.player_game_summary": Filled(
        date="game_date",
        query="""SELECT player.game_id, player.game_date, player.player_lookup, player.team_abbr,
              player.points, CAST(player.points * 100 / team.fg_attempts AS NUMERIC) AS usage_rate
            FROM nba_raw.nbac_gamebook_player_stats AS player
            JOIN nba_analytics.team_offense_game_summary AS team
              ON team.game_id = player.game_id AND team.team_abbr = player.team_abbr
              AND team.game_date BETWEEN @start_date AND @end_date
            WHERE player.game_date BETWEEN @start_date AND @end_date""",
    ),
    "nba_analytics.upcoming_player_game_context": Filled(
        date="game_date",
        query="""SELECT player_lookup, game_id, game_date, team_abbr, points AS actual_games_count
            FROM nba_analytics.player_game_summary
            WHERE game_date BETWEEN @start_date AND @end_date
            UNION ALL
            SELECT DISTINCT CONCAT('bench', team_abbr), game_id, game_date, team_abbr, 0
            FROM nba_analytics.player_game_summary
            WHERE game_date BETWEEN @start_date AND @end_date""",
    ),
    "nba_analytics.upcoming_team_game_context": Filled(
        date="game_date",
        query="""SELECT team_abbr, game_id, game_date, SUM(points) AS actual_games_count
            FROM nba_analytics.player_game_summary
            WHERE game_date BETWEEN @start_date AND @end_date
            GROUP BY team_abbr, game_id, game_date""",
    ),
    "nba_precompute.team_defense_zone_analysis": Filled(
        date="analysis_date",
        query="""SELECT now.defending_team_abbr AS team_abbr, now.game_date AS analysis_date,
              COUNT(DISTINCT past.game_date) AS games_in_sample
            FROM nba_analytics.team_defense_game_summary AS now
            JOIN nba_analytics.team_defense_game_summary AS past
              ON past.defending_team_abbr = now.defending_team_abbr
              AND past.game_date BETWEEN DATE_SUB(now.game_date, INTERVAL 30 DAY) AND now.game_date
            WHERE now.game_date BETWEEN @start_date AND @end_date
              AND now.game_date >= DATE '2021-11-23'
            GROUP BY now.defending_team_abbr, now.game_date""",
    ),
    "nba_precompute.player_shot_zone_analysis": Filled(
        date="analysis_date",
        query=f"""SELECT game_date AS analysis_date, player_lookup, games AS actual_games_count
            FROM ({GAMES_BEFORE})
            WHERE game_date >= DATE '2021-11-16'""",
    ),
    "nba_precompute.player_composite_factors": Filled(
        date="game_date",
        query="""SELECT summary.game_date, summary.player_lookup, summary.game_id,
              shots.actual_games_count + defense.games_in_sample AS fatigue_score
            FROM nba_analytics.player_game_summary AS summary
            LEFT JOIN nba_precompute.player_shot_zone_analysis AS shots
              ON shots.analysis_date = summary.game_date
              AND shots.player_lookup = summary.player_lookup
            LEFT JOIN nba_precompute.team_defense_zone_analysis AS defense
              ON defense.analysis_date = summary.game_date
              AND defense.team_abbr = summary.team_abbr
            WHERE summary.game_date BETWEEN @start_date AND @end_date""",
    ),
    "nba_precompute.player_daily_cache": Filled(
        date="cache_date",
        query=f"""SELECT game_date AS cache_date, player_lookup, points AS actual_games_count
            FROM ({GAMES_BEFORE})""",
    ),
    "nba_predictions.ml_feature_store_v2": Filled(
        date="game_date",
        query="""SELECT factors.game_date, factors.player_lookup, factors.game_id,
              cache.actual_games_count + factors.fatigue_score AS feature_count
            FROM nba_precompute.player_composite_factors AS factors
            LEFT JOIN nba_precompute.player_daily_cache AS cache
              ON cache.cache_date = factors.game_date
              AND cache.player_lookup = factors.player_lookup
            WHERE factors.game_date BETWEEN @start_date AND @end_date""",
    ),
    "nba_predictions.player_prop_predictions": Filled(
        date="game_date",
        query="""SELECT player_lookup, game_id, game_date, system_id,
              CAST(feature_count + LENGTH(system_id) AS NUMERIC) AS predicted_points,
              TRUE AS is_active, CAST(10.5 AS NUMERIC) AS current_points_line,
              'ODDS_API' AS line_source
            FROM nba_predictions.ml_feature_store_v2, UNNEST(['a', 'bb']) AS system_id
            WHERE game_date BETWEEN @start_date AND @end_date""",
    ),
    "nba_predictions.prediction_accuracy": Filled(
        date="game_date",
        query="""SELECT guess.player_lookup, guess.game_id, guess.game_date, guess.system_id,
              ABS(guess.predicted_points - summary.points) AS absolute_error
            FROM nba_predictions.player_prop_predictions AS guess
            JOIN nba_analytics.player_game_summary AS summary
              ON summary.game_date = guess.game_date
              AND summary.player_lookup = guess.player_lookup
            WHERE guess.game_date BETWEEN @start_date AND @end_date AND guess.is_active
              AND guess.line_source IS NOT NULL""",
    ),
}

PREDICTIONS = "nba_predictions.player_prop_predictions"
REGENERATED = f"""
    {TABLES[PREDICTIONS].query}
    UNION ALL
    SELECT player_lookup, game_id, game_date, system_id, predicted_points, FALSE AS is_active,
      current_points_line, line_source
    FROM {PREDICTIONS}
    WHERE game_date BETWEEN @start_date AND @end_date"""
"""What the coordinator leaves: new rows, and those that they supersede."""

BY_SCRIPT = """
    SELECT player_lookup, game_id, game_date, system_id, predicted_points, is_active,
      CAST(20.0 AS NUMERIC) AS current_points_line, CAST(NULL AS STRING) AS line_source
    FROM ({query})"""
"""What the backfill script leaves: a placeholder for the line, and no source of it."""

REPLACE = """
MERGE {table} USING (SELECT {columns} FROM ({query})) ON FALSE
WHEN NOT MATCHED BY SOURCE AND {date} BETWEEN @start_date AND @end_date THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT ROW
"""


def fill(
    warehouse: Warehouse, table: str, start: date, end: date, *, query: str | None = None
) -> None:
    """Replace the rows of some dates; by what the table's own query gives, unless told another."""
    filled = TABLES[table]
    query = query or filled.query
    statement = REPLACE.format(
        table=table,
        columns=_columns(warehouse, table, query),
        query=query,
        date=filled.date,
    )
    warehouse.run(statement, {"start_date": start, "end_date": end})


def fill_raw(warehouse: Warehouse, start: date, end: date) -> None:
    """Games that were played, and what the players did."""
    for table, query in RAW.items():
        columns = _columns(warehouse, table, query)
        statement = f"INSERT INTO {table} SELECT {columns} FROM ({query})"
        warehouse.run(statement, {"start_date": start, "end_date": end})


def _columns(warehouse: Warehouse, table: str, query: str) -> str:
    """Every column of the table: from the query, or NULL."""
    told = parse_one(query, read="bigquery").named_selects
    return ", ".join(
        name if name in told else f"CAST(NULL AS {kind}) AS {name}"
        for name, kind in warehouse.columns(table).items()
    )
