-- team_offense_game_summary as the live pipeline defines it, in the columns that matter: a
-- filter on the date is required.
CREATE TABLE nba_analytics.team_offense_game_summary (
  game_id STRING,
  game_date DATE,
  team_abbr STRING,
  opponent_team_abbr STRING,
  season_year INT64,
  fg_attempts INT64,
  ft_attempts INT64,
  turnovers INT64,
  data_quality_tier STRING,
  data_hash STRING,
  created_at TIMESTAMP,
  processed_at TIMESTAMP
)
PARTITION BY game_date
