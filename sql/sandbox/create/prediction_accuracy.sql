-- How far each prediction was from what happened.
CREATE TABLE IF NOT EXISTS nba_predictions.prediction_accuracy (
  game_date DATE NOT NULL,
  game_id STRING NOT NULL,
  season_year INT64 NOT NULL,
  player_id INT64 NOT NULL,
  system_id STRING NOT NULL,
  predicted_points FLOAT64 NOT NULL,
  actual_points INT64 NOT NULL,
  absolute_error FLOAT64 NOT NULL,
  was_correct BOOL NOT NULL
)
PARTITION BY game_date
