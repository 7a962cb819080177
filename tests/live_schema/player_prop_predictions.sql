-- player_prop_predictions as the live pipeline defines it, in the columns that matter: a
-- filter on the date is required; its definition lets partitions expire after 365 days.
CREATE TABLE nba_predictions.player_prop_predictions (
  prediction_id STRING,
  system_id STRING,
  player_lookup STRING,
  universal_player_id STRING,
  game_date DATE,
  game_id STRING,
  predicted_points NUMERIC,
  recommendation STRING,
  current_points_line NUMERIC,
  line_source STRING,
  expected_games_count INT64,
  actual_games_count INT64,
  completeness_percentage FLOAT64,
  is_production_ready BOOLEAN,
  is_active BOOLEAN,
  created_at TIMESTAMP,
  updated_at TIMESTAMP
)
PARTITION BY game_date
