-- team_defense_zone_analysis as the live pipeline defines it, in the columns that matter:
-- its definition lets partitions expire after 90 days.
CREATE TABLE nba_precompute.team_defense_zone_analysis (
  team_abbr STRING,
  analysis_date DATE,
  games_in_sample INT64,
  data_quality_tier STRING,
  data_hash STRING,
  early_season_flag BOOLEAN,
  expected_games_count INT64,
  actual_games_count INT64,
  completeness_percentage FLOAT64,
  is_production_ready BOOLEAN,
  processed_at TIMESTAMP,
  created_at TIMESTAMP
)
PARTITION BY analysis_date
