-- bdl_player_boxscores as the live pipeline defines it, in the columns that matter: a
-- filter on the date is required.
CREATE TABLE nba_raw.bdl_player_boxscores (
  game_id STRING,
  game_date DATE,
  season_year INT64,
  game_status STRING,
  team_abbr STRING,
  player_full_name STRING,
  player_lookup STRING,
  points INT64,
  turnovers INT64,
  created_at TIMESTAMP,
  data_hash STRING,
  processed_at TIMESTAMP
)
PARTITION BY game_date
