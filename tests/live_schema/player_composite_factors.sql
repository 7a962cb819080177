-- player_composite_factors as the live pipeline defines it, in the columns that matter.
CREATE TABLE nba_precompute.player_composite_factors (
  player_lookup STRING,
  universal_player_id STRING,
  game_date DATE,
  game_id STRING,
  analysis_date DATE,
  fatigue_score INT64,
  shot_zone_mismatch_score NUMERIC,
  opponent_strength_score NUMERIC,
  data_hash STRING,
  early_season_flag BOOLEAN,
  expected_games_count INT64,
  actual_games_count INT64,
  completeness_percentage FLOAT64,
  is_production_ready BOOLEAN,
  created_at TIMESTAMP,
  processed_at TIMESTAMP
)
PARTITION BY game_date
