-- What each team that plays on a date allowed in its games of the 30 days before.
CREATE TABLE IF NOT EXISTS nba_precompute.team_defense_zone_analysis (
  game_date DATE NOT NULL,
  team_abbr STRING NOT NULL,
  games_in_sample INT64 NOT NULL,
  points_allowed INT64,
  points_allowed_per_game FLOAT64,
  two_point_share_allowed FLOAT64,
  three_point_share_allowed FLOAT64
)
PARTITION BY game_date
