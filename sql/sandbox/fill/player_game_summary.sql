-- What did each player do in his games from @start_date to @end_date?
--
-- Counts are integers, and a share is made of integers within one row, so the rows are the same
-- whether a day or a season is filled at once. True shooting divides points by twice the shots,
-- a free throw being 0.44 of one. Usage is the share of his team's plays that a player ended
-- while he was on the floor, where the team's time counts five players at once.
MERGE nba_analytics.player_game_summary
USING (
  SELECT
    game_date,
    game_code,
    season_year,
    player_id,
    player_name,
    team_abbr,
    opponent,
    is_home,
    seconds_played,
    points,
    rebounds,
    assists,
    turnovers,
    fgm,
    fga,
    fg3m,
    fg3a,
    ftm,
    fta,
    ROUND(SAFE_DIVIDE(CAST(fgm AS FLOAT64), CAST(fga AS FLOAT64)), 6) AS field_goal_share,
    ROUND(
      SAFE_DIVIDE(CAST(100 * points AS FLOAT64), CAST(200 * fga + 88 * fta AS FLOAT64)), 6
    ) AS true_shooting,
    ROUND(
      SAFE_DIVIDE(
        CAST((100 * (fga + turnovers) + 44 * fta) * team_seconds AS FLOAT64),
        CAST(5 * seconds_played * team_plays AS FLOAT64)
      ),
      6
    ) AS usage_share
  FROM (
    SELECT
      game_date,
      game_code,
      season_year,
      player_id,
      player_name,
      team_abbr,
      opponent_abbr AS opponent,
      is_home,
      CAST(ROUND(minutes * 60) AS INT64) AS seconds_played,
      points,
      rebounds,
      assists,
      turnovers,
      fgm,
      fga,
      fg3m,
      fg3a,
      ftm,
      fta,
      SUM(CAST(ROUND(minutes * 60) AS INT64)) OVER team AS team_seconds,
      SUM(100 * (fga + turnovers) + 44 * fta) OVER team AS team_plays
    FROM nba_raw.nbac_gamebook_player_stats
    WHERE game_date BETWEEN @start_date AND @end_date
    WINDOW team AS (PARTITION BY game_date, game_code, team_abbr)
  )
)
ON FALSE
WHEN NOT MATCHED BY SOURCE AND game_date BETWEEN @start_date AND @end_date THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT ROW
