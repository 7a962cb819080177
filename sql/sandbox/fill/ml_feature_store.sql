-- What may a prediction for a game from @start_date to @end_date look at?
--
-- The factors and the form of the same date, so both are filled first. A player with factors has a
-- row; where the form is absent, its figures are NULL.
MERGE nba_precompute.ml_feature_store
USING (
  SELECT
    factors.game_date,
    factors.game_id,
    factors.player_id,
    factors.team_abbr,
    factors.opponent,
    form.games_in_sample,
    form.days_of_rest,
    form.points_per_game,
    form.points_per_game_in_week,
    ROUND(
      SAFE_DIVIDE(CAST(60 * form.points AS FLOAT64), CAST(form.seconds_played AS FLOAT64)), 6
    ) AS points_per_minute,
    ROUND(SAFE_DIVIDE(form.seconds_per_game, 60.0), 6) AS minutes_per_game,
    factors.opponent_strength,
    factors.shot_zone_mismatch
  FROM nba_precompute.player_composite_factors AS factors
  LEFT JOIN nba_precompute.player_daily_cache AS form
    ON form.game_date = factors.game_date
    AND form.player_id = factors.player_id
    AND form.game_date BETWEEN @start_date AND @end_date
  WHERE factors.game_date BETWEEN @start_date AND @end_date
)
ON FALSE
WHEN NOT MATCHED BY SOURCE AND game_date BETWEEN @start_date AND @end_date THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT ROW
