-- player_shot_zone_analysis as the live pipeline defines it, in the columns that matter:
-- its definition lets partitions expire after 90 days.
CREATE TABLE nba_precompute.player_shot_zone_analysis (
  player_lookup STRING,
  universal_player_id STRING,
  analysis_date DATE,
  data_quality_tier STRING,
  data_hash STRING,
  early_season_flag BOOLEAN,
  expected_games_count INT64,
  actual_games_count INT64,
  completeness_percentage FLOAT64,
  is_production_ready BOOLEAN,
  created_at TIMESTAMP,
  processed_at TIMESTAMP
)
PARTITION BY analysis_date
