-- density: how many rows are there for each entity, and is that within the table's band?
-- Of tables that count the pipeline's entity. A season without entities has the status `no rows`.
WITH
{pipeline},
{calendar},
{counts},
sums AS (
  SELECT
    parts.season,
    parts.starts,
    tables.phase,
    tables.table_name,
    tables.place,
    tables.low,
    tables.high,
    COALESCE(SUM(IF(counts.entity = '*', counts.found, 0)), 0) AS row_count,
    COALESCE(SUM(IF(counts.entity = @entity, counts.found, 0)), 0) AS entities
  FROM parts
  CROSS JOIN tables
  LEFT JOIN (
    counts
    JOIN days ON days.day = counts.day AND days.part = ''
  )
    ON days.season = parts.season
    AND counts.phase = tables.phase
    AND counts.table_name = tables.table_name
  WHERE parts.part = '' AND tables.counts
  GROUP BY
    parts.season, parts.starts, tables.phase, tables.table_name, tables.place, tables.low,
    tables.high
)
SELECT
  season,
  phase,
  table_name,
  row_count,
  entities,
  SAFE_DIVIDE(row_count, entities) AS per_entity,
  low,
  high,
  CASE
    WHEN entities = 0 THEN 'no rows'
    WHEN low IS NULL THEN 'no band'
    WHEN SAFE_DIVIDE(row_count, entities) < low THEN 'low'
    WHEN SAFE_DIVIDE(row_count, entities) > high THEN 'high'
    ELSE 'ok'
  END AS status
FROM sums
ORDER BY place, starts
