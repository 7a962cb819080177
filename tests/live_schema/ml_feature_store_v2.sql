-- ml_feature_store_v2 as the live pipeline defines it, in the columns that matter: a filter
-- on the date is required.
CREATE TABLE nba_predictions.ml_feature_store_v2 (
  player_lookup STRING,
  universal_player_id STRING,
  game_date DATE,
  game_id STRING,
  features ARRAY<FLOAT64>,
  feature_count INT64,
  feature_version STRING,
  feature_quality_score NUMERIC,
  opponent_team_abbr STRING,
  early_season_flag BOOLEAN,
  expected_games_count INT64,
  actual_games_count INT64,
  completeness_percentage FLOAT64,
  is_production_ready BOOLEAN,
  data_hash STRING,
  created_at TIMESTAMP,
  updated_at TIMESTAMP
)
PARTITION BY game_date
