-- player_game_summary as the live pipeline defines it, in the columns that matter.
CREATE TABLE nba_analytics.player_game_summary (
  player_lookup STRING,
  universal_player_id STRING,
  player_full_name STRING,
  game_id STRING,
  game_date DATE,
  team_abbr STRING,
  opponent_team_abbr STRING,
  season_year INT64,
  points INT64,
  minutes_played NUMERIC,
  turnovers INT64,
  fg_attempts INT64,
  ft_attempts INT64,
  usage_rate NUMERIC,
  is_active BOOLEAN,
  player_status STRING,
  data_quality_tier STRING,
  data_hash STRING,
  created_at TIMESTAMP,
  processed_at TIMESTAMP
)
PARTITION BY game_date
