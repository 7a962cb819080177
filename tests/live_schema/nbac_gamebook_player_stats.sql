-- nbac_gamebook_player_stats as the live pipeline defines it, in the columns that matter.
CREATE TABLE nba_raw.nbac_gamebook_player_stats (
  game_id STRING,
  game_code STRING,
  game_date DATE,
  season_year INT64,
  player_name STRING,
  player_lookup STRING,
  team_abbr STRING,
  player_status STRING,
  points INT64,
  turnovers INT64,
  data_hash STRING,
  processed_at TIMESTAMP
)
PARTITION BY game_date
