-- One row of features per player and game: all that a prediction may look at.
CREATE TABLE IF NOT EXISTS nba_precompute.ml_feature_store (
  game_date DATE NOT NULL,
  game_id STRING NOT NULL,
  player_id INT64 NOT NULL,
  team_abbr STRING NOT NULL,
  opponent STRING NOT NULL,
  games_in_sample INT64,
  days_of_rest INT64,
  points_per_game FLOAT64,
  points_per_game_in_week FLOAT64,
  points_per_minute FLOAT64,
  minutes_per_game FLOAT64,
  opponent_strength FLOAT64,
  shot_zone_mismatch FLOAT64
)
PARTITION BY game_date
