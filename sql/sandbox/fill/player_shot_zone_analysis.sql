-- From where did each player who plays from @start_date to @end_date shoot in the 30 days before?
--
-- The window is made of earlier dates of the same season. A player without any has a row too,
-- with no games in his sample.
MERGE nba_precompute.player_shot_zone_analysis
USING (
  WITH
    shots AS (
      SELECT
        game_date,
        player_id,
        COUNT(*) OVER before AS games,
        SUM(fgm) OVER before AS fgm,
        SUM(fga) OVER before AS fga,
        SUM(fg3m) OVER before AS fg3m,
        SUM(fg3a) OVER before AS fg3a
      FROM nba_analytics.player_game_summary
      WHERE game_date BETWEEN DATE_SUB(@start_date, INTERVAL 30 DAY) AND @end_date
      WINDOW before AS (
        PARTITION BY season_year, player_id
        ORDER BY UNIX_DATE(game_date)
        RANGE BETWEEN 30 PRECEDING AND 1 PRECEDING
      )
    )
  SELECT
    game_date,
    player_id,
    games AS games_in_sample,
    fga AS field_goals_tried,
    ROUND(SAFE_DIVIDE(CAST(fg3a AS FLOAT64), CAST(fga AS FLOAT64)), 6) AS three_point_rate,
    ROUND(SAFE_DIVIDE(CAST(fgm - fg3m AS FLOAT64), CAST(fga - fg3a AS FLOAT64)), 6)
      AS two_point_share,
    ROUND(SAFE_DIVIDE(CAST(fg3m AS FLOAT64), CAST(fg3a AS FLOAT64)), 6) AS three_point_share
  FROM shots
  WHERE game_date BETWEEN @start_date AND @end_date
)
ON FALSE
WHEN NOT MATCHED BY SOURCE AND game_date BETWEEN @start_date AND @end_date THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT ROW
