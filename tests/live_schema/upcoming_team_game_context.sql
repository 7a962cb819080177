-- upcoming_team_game_context as the live pipeline defines it, in the columns that matter.
CREATE TABLE nba_analytics.upcoming_team_game_context (
  team_abbr STRING,
  game_id STRING,
  game_date DATE,
  season_year INT64,
  opponent_team_abbr STRING,
  early_season_flag BOOLEAN,
  expected_games_count INT64,
  actual_games_count INT64,
  completeness_percentage FLOAT64,
  is_production_ready BOOLEAN,
  data_hash STRING,
  processed_at TIMESTAMP,
  created_at TIMESTAMP
)
PARTITION BY game_date
