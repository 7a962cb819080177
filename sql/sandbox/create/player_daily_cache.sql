-- Each player's form on the date: his games of the 30 and of the 7 days before.
CREATE TABLE IF NOT EXISTS nba_precompute.player_daily_cache (
  game_date DATE NOT NULL,
  player_id INT64 NOT NULL,
  games_in_sample INT64 NOT NULL,
  games_in_week INT64 NOT NULL,
  days_of_rest INT64,
  points INT64,
  seconds_played INT64,
  points_per_game FLOAT64,
  points_per_game_in_week FLOAT64,
  seconds_per_game FLOAT64
)
PARTITION BY game_date
