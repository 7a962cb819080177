-- How does each player's shooting meet the defense he faces from @start_date to @end_date?
--
-- Both sides are the two zone tables' rows of the same date, so they are filled first. A player
-- in analytics has a row; where a zone row is absent, its figures are NULL. The mismatch is what
-- the defense allows from where the player shoots, against what he makes himself.
MERGE nba_precompute.player_composite_factors
USING (
  SELECT
    summary.game_date,
    summary.game_code AS game_id,
    summary.player_id,
    summary.team_abbr,
    summary.opponent,
    shots.games_in_sample AS player_games,
    defense.games_in_sample AS opponent_games,
    defense.points_allowed_per_game AS opponent_strength,
    ROUND(
      shots.three_point_rate
        * (defense.three_point_share_allowed - COALESCE(shots.three_point_share, 0.0))
      + (1.0 - shots.three_point_rate)
        * (defense.two_point_share_allowed - COALESCE(shots.two_point_share, 0.0)),
      6
    ) AS shot_zone_mismatch
  FROM nba_analytics.player_game_summary AS summary
  LEFT JOIN nba_precompute.player_shot_zone_analysis AS shots
    ON shots.game_date = summary.game_date
    AND shots.player_id = summary.player_id
    AND shots.game_date BETWEEN @start_date AND @end_date
  LEFT JOIN nba_precompute.team_defense_zone_analysis AS defense
    ON defense.game_date = summary.game_date
    AND defense.team_abbr = summary.opponent
    AND defense.game_date BETWEEN @start_date AND @end_date
  WHERE summary.game_date BETWEEN @start_date AND @end_date
)
ON FALSE
WHEN NOT MATCHED BY SOURCE AND game_date BETWEEN @start_date AND @end_date THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT ROW
