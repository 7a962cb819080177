-- From where each player that plays on a date shot in his games of the 30 days before.
CREATE TABLE IF NOT EXISTS nba_precompute.player_shot_zone_analysis (
  game_date DATE NOT NULL,
  player_id INT64 NOT NULL,
  games_in_sample INT64 NOT NULL,
  field_goals_tried INT64,
  three_point_rate FLOAT64,
  two_point_share FLOAT64,
  three_point_share FLOAT64
)
PARTITION BY game_date
