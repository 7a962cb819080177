-- criteria: do the success criteria of the pipeline file hold, season by season?
-- Each is judged date by date, for the seasons that it names: one that is absent has no rows, and
-- that is no success. A season is not judged when the dates asked for lie outside of what the
-- criterion is about, or hold a part of the season where it takes all. `dates` are the first ten
-- that offend.
WITH
{pipeline},
{calendar},
{counts},
{judged},
declared AS (
  SELECT *
  FROM UNNEST(ARRAY<STRUCT<
    criterion STRING, place INT64, part STRING, tolerance NUMERIC, minimum INT64
  >>[
    {criteria}
  ])
),
criteria AS (
  SELECT declared.*, named.season
  FROM declared
  JOIN (
    SELECT criterion, @criterion_seasons[OFFSET(n)] AS season
    FROM UNNEST(@criterion_names) AS criterion WITH OFFSET AS n
  ) AS named
    ON named.criterion = declared.criterion
),
verdicts AS (
  {verdicts}
),
sums AS (
  SELECT
    criteria.criterion,
    criteria.place,
    criteria.season,
    seasons.starts,
    criteria.tolerance,
    criteria.minimum,
    LOGICAL_OR(parts.season IS NOT NULL AND (criteria.minimum IS NULL OR parts.is_whole))
      AS is_judged,
    COALESCE(criteria.minimum, SUM(verdicts.expected), 0) AS expected,
    COALESCE(SUM(verdicts.found), 0) AS found,
    COUNT(IF(verdicts.found < verdicts.expected, 1, NULL)) AS offending,
    ARRAY_AGG(
      IF(verdicts.found < verdicts.expected AND verdicts.place <= 10, verdicts.day, NULL)
      IGNORE NULLS ORDER BY verdicts.day
    ) AS dates
  FROM criteria
  JOIN parts AS seasons ON seasons.season = criteria.season AND seasons.part = ''
  LEFT JOIN parts ON parts.season = criteria.season AND parts.part = criteria.part
  LEFT JOIN (
    SELECT
      verdicts.*,
      days.season,
      days.part,
      ROW_NUMBER() OVER (
        PARTITION BY criterion, season, part, found < expected ORDER BY verdicts.day
      ) AS place
    FROM verdicts
    JOIN days ON days.day = verdicts.day
  ) AS verdicts
    ON verdicts.criterion = criteria.criterion
    AND verdicts.season = criteria.season
    AND verdicts.part = criteria.part
  GROUP BY 1, 2, 3, 4, 5, 6
)
SELECT
  criterion,
  season,
  CASE
    WHEN NOT is_judged THEN 'not judged'
    WHEN IF(minimum IS NULL, expected, found) = 0 THEN 'no rows'
    WHEN found >= expected * (1 - tolerance) THEN 'holds'
    ELSE 'fails'
  END AS status,
  expected,
  found,
  offending,
  dates
FROM sums
ORDER BY place, starts
