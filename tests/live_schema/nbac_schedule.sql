-- nbac_schedule as the live pipeline defines it, in the columns that matter: a filter on
-- the date is required.
CREATE TABLE nba_raw.nbac_schedule (
  game_id STRING,
  game_code STRING,
  season STRING,
  season_year INT64,
  game_date DATE,
  game_status INT64,
  game_status_text STRING,
  home_team_tricode STRING,
  away_team_tricode STRING,
  is_regular_season BOOLEAN,
  is_playoffs BOOLEAN,
  created_at TIMESTAMP,
  data_hash STRING,
  processed_at TIMESTAMP
)
PARTITION BY game_date
