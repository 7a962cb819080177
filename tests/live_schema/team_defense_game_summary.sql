-- team_defense_game_summary as the live pipeline defines it, in the columns that matter.
CREATE TABLE nba_analytics.team_defense_game_summary (
  game_id STRING,
  game_date DATE,
  defending_team_abbr STRING,
  opponent_team_abbr STRING,
  season_year INT64,
  data_quality_tier STRING,
  data_hash STRING,
  processed_at TIMESTAMP,
  created_at TIMESTAMP
)
PARTITION BY game_date
