-- How far was each prediction from @start_date to @end_date from what happened?
--
-- A prediction is correct when it is within five points.
MERGE nba_predictions.prediction_accuracy
USING (
  SELECT
    predicted.game_date,
    predicted.game_id,
    predicted.season_year,
    predicted.player_id,
    predicted.system_id,
    predicted.predicted_points,
    actual.points AS actual_points,
    ROUND(ABS(predicted.predicted_points - CAST(actual.points AS FLOAT64)), 2) AS absolute_error,
    ABS(predicted.predicted_points - CAST(actual.points AS FLOAT64)) <= 5.0 AS was_correct
  FROM nba_predictions.player_prop_predictions AS predicted
  JOIN nba_analytics.player_game_summary AS actual
    ON actual.game_date = predicted.game_date
    AND actual.game_code = predicted.game_id
    AND actual.player_id = predicted.player_id
  WHERE predicted.game_date BETWEEN @start_date AND @end_date
    AND actual.game_date BETWEEN @start_date AND @end_date
)
ON FALSE
WHEN NOT MATCHED BY SOURCE AND game_date BETWEEN @start_date AND @end_date THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT ROW
