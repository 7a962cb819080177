-- What each player did in each game: counts as the source has them, and shares of his shots and
-- his team's possessions. Time is in whole seconds, so that every later sum is exact.
CREATE TABLE IF NOT EXISTS nba_analytics.player_game_summary (
  game_date DATE NOT NULL,
  game_code STRING NOT NULL,
  season_year INT64 NOT NULL,
  player_id INT64 NOT NULL,
  player_name STRING NOT NULL,
  team_abbr STRING NOT NULL,
  opponent STRING NOT NULL,
  is_home BOOL NOT NULL,
  seconds_played INT64,
  points INT64 NOT NULL,
  rebounds INT64 NOT NULL,
  assists INT64 NOT NULL,
  turnovers INT64 NOT NULL,
  fgm INT64,
  fga INT64,
  fg3m INT64,
  fg3a INT64,
  ftm INT64,
  fta INT64,
  field_goal_share FLOAT64,
  true_shooting FLOAT64,
  usage_share FLOAT64
)
PARTITION BY game_date
