-- counts: what does each table hold of each season, and of each named part of it?
-- A table or season without rows is there, with 0. `entities` is NULL where a table does not
-- count the pipeline's entity, and adds up what each date holds.
WITH
{pipeline},
{calendar},
{counts}
SELECT
  parts.season,
  parts.part,
  tables.phase,
  tables.table_name,
  COUNT(DISTINCT held.day) AS dates,
  IF(tables.counts, SUM(IF(held.entity = @entity, held.found, 0)), NULL) AS entities,
  SUM(IF(held.entity = '*', held.found, 0)) AS row_count,
  MIN(held.day) AS first_date,
  MAX(held.day) AS last_date
FROM parts
CROSS JOIN tables
LEFT JOIN (
  SELECT counts.*, days.season, days.part
  FROM counts
  JOIN days ON days.day = counts.day
) AS held
  ON held.season = parts.season
  AND held.part = parts.part
  AND held.phase = tables.phase
  AND held.table_name = tables.table_name
GROUP BY
  parts.season, parts.part, parts.starts, tables.phase, tables.table_name, tables.place,
  tables.counts
ORDER BY tables.place, parts.starts, parts.part
