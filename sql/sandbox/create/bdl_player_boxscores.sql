-- Where the first source's box scores land: one row per player and game.
-- Minutes may be NULL: sources know that a player played, and not always for how long.
CREATE TABLE IF NOT EXISTS nba_raw.bdl_player_boxscores (
  game_id STRING NOT NULL,
  game_date DATE NOT NULL,
  season_year INT64 NOT NULL,
  team_abbr STRING NOT NULL,
  opponent_abbr STRING NOT NULL,
  is_home BOOL NOT NULL,
  player_id INT64 NOT NULL,
  player_name STRING NOT NULL,
  minutes FLOAT64,
  points INT64 NOT NULL,
  rebounds INT64 NOT NULL,
  assists INT64 NOT NULL,
  steals INT64 NOT NULL,
  blocks INT64 NOT NULL,
  turnovers INT64 NOT NULL,
  fgm INT64,
  fga INT64,
  fg3m INT64,
  fg3a INT64,
  ftm INT64,
  fta INT64,
  plus_minus INT64 NOT NULL
)
PARTITION BY game_date
