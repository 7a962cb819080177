-- In what form is each player who plays from @start_date to @end_date?
--
-- The windows are earlier dates of the same season. A player without any has a row too. There is
-- no "last five games": five games may reach further back than the 30 days that are read.
MERGE nba_precompute.player_daily_cache
USING (
  WITH
    form AS (
      SELECT
        game_date,
        player_id,
        COUNT(*) OVER month_before AS games,
        COUNT(*) OVER week_before AS week_games,
        MAX(UNIX_DATE(game_date)) OVER month_before AS last_day,
        SUM(points) OVER month_before AS points,
        SUM(points) OVER week_before AS week_points,
        SUM(seconds_played) OVER month_before AS seconds_played,
        COUNT(seconds_played) OVER month_before AS timed_games
      FROM nba_analytics.player_game_summary
      WHERE game_date BETWEEN DATE_SUB(@start_date, INTERVAL 30 DAY) AND @end_date
      WINDOW
        month_before AS (
          PARTITION BY season_year, player_id
          ORDER BY UNIX_DATE(game_date)
          RANGE BETWEEN 30 PRECEDING AND 1 PRECEDING
        ),
        week_before AS (
          PARTITION BY season_year, player_id
          ORDER BY UNIX_DATE(game_date)
          RANGE BETWEEN 7 PRECEDING AND 1 PRECEDING
        )
    )
  SELECT
    game_date,
    player_id,
    games AS games_in_sample,
    week_games AS games_in_week,
    UNIX_DATE(game_date) - last_day AS days_of_rest,
    points,
    seconds_played,
    ROUND(SAFE_DIVIDE(CAST(points AS FLOAT64), CAST(games AS FLOAT64)), 6) AS points_per_game,
    ROUND(SAFE_DIVIDE(CAST(week_points AS FLOAT64), CAST(week_games AS FLOAT64)), 6)
      AS points_per_game_in_week,
    ROUND(SAFE_DIVIDE(CAST(seconds_played AS FLOAT64), CAST(timed_games AS FLOAT64)), 6)
      AS seconds_per_game
  FROM form
  WHERE game_date BETWEEN @start_date AND @end_date
)
ON FALSE
WHEN NOT MATCHED BY SOURCE AND game_date BETWEEN @start_date AND @end_date THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT ROW
