-- What did each team that plays from @start_date to @end_date allow in the 30 days before?
--
-- The window is made of earlier dates of the same season. A team without any has a row too,
-- with no games in its sample.
MERGE nba_precompute.team_defense_zone_analysis
USING (
  WITH
    playing AS (
      SELECT DISTINCT season_year, game_date, team_abbr
      FROM nba_analytics.player_game_summary
      WHERE game_date BETWEEN DATE_SUB(@start_date, INTERVAL 30 DAY) AND @end_date
    ),
    faced AS (
      SELECT
        season_year,
        game_date,
        opponent AS team_abbr,
        SUM(points) AS points,
        SUM(fgm) AS fgm,
        SUM(fga) AS fga,
        SUM(fg3m) AS fg3m,
        SUM(fg3a) AS fg3a
      FROM nba_analytics.player_game_summary
      WHERE game_date BETWEEN DATE_SUB(@start_date, INTERVAL 30 DAY) AND @end_date
      GROUP BY season_year, game_date, opponent
    ),
    allowed AS (
      SELECT
        playing.game_date,
        playing.team_abbr,
        COUNT(faced.points) OVER before AS games,
        SUM(faced.points) OVER before AS points,
        SUM(faced.fgm) OVER before AS fgm,
        SUM(faced.fga) OVER before AS fga,
        SUM(faced.fg3m) OVER before AS fg3m,
        SUM(faced.fg3a) OVER before AS fg3a
      FROM playing
      LEFT JOIN faced USING (season_year, game_date, team_abbr)
      WINDOW before AS (
        PARTITION BY playing.season_year, playing.team_abbr
        ORDER BY UNIX_DATE(playing.game_date)
        RANGE BETWEEN 30 PRECEDING AND 1 PRECEDING
      )
    )
  SELECT
    game_date,
    team_abbr,
    games AS games_in_sample,
    points AS points_allowed,
    ROUND(SAFE_DIVIDE(CAST(points AS FLOAT64), CAST(games AS FLOAT64)), 6)
      AS points_allowed_per_game,
    ROUND(SAFE_DIVIDE(CAST(fgm - fg3m AS FLOAT64), CAST(fga - fg3a AS FLOAT64)), 6)
      AS two_point_share_allowed,
    ROUND(SAFE_DIVIDE(CAST(fg3m AS FLOAT64), CAST(fg3a AS FLOAT64)), 6)
      AS three_point_share_allowed
  FROM allowed
  WHERE game_date BETWEEN @start_date AND @end_date
)
ON FALSE
WHEN NOT MATCHED BY SOURCE AND game_date BETWEEN @start_date AND @end_date THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT ROW
