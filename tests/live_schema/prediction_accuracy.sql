-- prediction_accuracy as the live pipeline defines it, in the columns that matter: a filter
-- on the date is required.
CREATE TABLE nba_predictions.prediction_accuracy (
  player_lookup STRING,
  game_id STRING,
  game_date DATE,
  system_id STRING,
  team_abbr STRING,
  opponent_team_abbr STRING,
  predicted_points NUMERIC,
  recommendation STRING,
  actual_points INTEGER,
  minutes_played NUMERIC,
  absolute_error NUMERIC,
  signed_error NUMERIC,
  prediction_correct BOOLEAN,
  line_source STRING,
  is_voided BOOLEAN,
  feature_quality_score FLOAT64,
  data_quality_tier STRING,
  feature_version STRING,
  feature_count INT64,
  early_season_flag BOOL,
  graded_at TIMESTAMP
)
PARTITION BY game_date
