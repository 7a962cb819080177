-- The points that each system expects of each player in each game.
CREATE TABLE IF NOT EXISTS nba_predictions.player_prop_predictions (
  game_date DATE NOT NULL,
  game_id STRING NOT NULL,
  season_year INT64 NOT NULL,
  player_id INT64 NOT NULL,
  system_id STRING NOT NULL,
  predicted_points FLOAT64 NOT NULL
)
PARTITION BY game_date
