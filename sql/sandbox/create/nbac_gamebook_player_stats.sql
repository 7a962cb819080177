-- Where the league's gamebook lands: one row per player and game, keyed by the game's code.
-- Analytics reads this one; the other source is there to be checked against.
CREATE TABLE IF NOT EXISTS nba_raw.nbac_gamebook_player_stats (
  game_code STRING NOT NULL,
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
