-- upcoming_player_game_context as the live pipeline defines it, in the columns that matter.
CREATE TABLE nba_analytics.upcoming_player_game_context (
  player_lookup STRING,
  universal_player_id STRING,
  game_id STRING,
  game_date DATE,
  team_abbr STRING,
  opponent_team_abbr STRING,
  current_points_line NUMERIC,
  player_status STRING,
  data_quality_tier STRING,
  expected_games_count INT64,
  actual_games_count INT64,
  completeness_percentage FLOAT64,
  is_production_ready BOOLEAN,
  data_hash STRING,
  created_at TIMESTAMP,
  processed_at TIMESTAMP
)
PARTITION BY game_date
