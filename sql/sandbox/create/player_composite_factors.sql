-- How each player's shooting meets the defense he faces on the date.
CREATE TABLE IF NOT EXISTS nba_precompute.player_composite_factors (
  game_date DATE NOT NULL,
  game_id STRING NOT NULL,
  player_id INT64 NOT NULL,
  team_abbr STRING NOT NULL,
  opponent STRING NOT NULL,
  player_games INT64,
  opponent_games INT64,
  opponent_strength FLOAT64,
  shot_zone_mismatch FLOAT64
)
PARTITION BY game_date
