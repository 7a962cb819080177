-- How many points does each system expect of each player from @start_date to @end_date?
--
-- The systems look at nothing but the feature store. A player without history is expected to
-- score nothing. A season is named after the year it starts in and ends before July, so the date
-- half a year earlier lies in that year; the feature store has no season of its own.
MERGE nba_predictions.player_prop_predictions
USING (
  SELECT
    game_date,
    game_id,
    EXTRACT(YEAR FROM DATE_SUB(game_date, INTERVAL 6 MONTH)) AS season_year,
    player_id,
    system_id,
    ROUND(
      COALESCE(
        CASE system_id
          WHEN 'form' THEN points_per_game
          WHEN 'week' THEN COALESCE(points_per_game_in_week, points_per_game)
          WHEN 'minutes' THEN points_per_minute * minutes_per_game
          ELSE points_per_game * (1.0 + COALESCE(shot_zone_mismatch, 0.0))
        END,
        0.0
      ),
      2
    ) AS predicted_points
  FROM nba_precompute.ml_feature_store
  CROSS JOIN UNNEST(['form', 'week', 'minutes', 'matchup']) AS system_id
  WHERE game_date BETWEEN @start_date AND @end_date
)
ON FALSE
WHEN NOT MATCHED BY SOURCE AND game_date BETWEEN @start_date AND @end_date THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT ROW
