-- grades: how right was each system in each season, and all of them ('*')?
-- A season that was not graded has a row with the status `no rows`. Rows that could not be measured or judged
-- are left out of the mean error and of the accuracy.
WITH
{pipeline},
{calendar},
grades AS (
  {grades}
),
sums AS (
  SELECT
    parts.season,
    parts.starts,
    tables.table_name,
    tables.place,
    COALESCE(held.system, '*') AS system,
    COALESCE(SUM(held.entities), 0) AS entities,
    COALESCE(SUM(held.row_count), 0) AS row_count,
    COALESCE(SUM(held.measured), 0) AS measured,
    SUM(held.error_sum) AS error_sum,
    COALESCE(SUM(held.judged), 0) AS judged,
    COALESCE(SUM(held.correct), 0) AS correct
  FROM parts
  CROSS JOIN tables
  LEFT JOIN (
    SELECT grades.*, days.season
    FROM grades
    JOIN days ON days.day = grades.date AND days.part = ''
  ) AS held
    ON held.season = parts.season
    AND held.table_name = tables.table_name
  WHERE parts.part = '' AND tables.table_name IN ({graded_tables})
  GROUP BY parts.season, parts.starts, tables.table_name, tables.place, 5
)
SELECT
  season,
  table_name,
  system,
  entities,
  row_count,
  SAFE_DIVIDE(error_sum, measured) AS mean_error,
  SAFE_DIVIDE(correct, judged) AS accuracy,
  IF(row_count = 0, 'no rows', 'graded') AS status
FROM sums
ORDER BY place, starts, system
