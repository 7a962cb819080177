-- What one table holds per date: a row for each thing that is counted in it.
SELECT
  {phase} AS phase,
  {table_name} AS table_name,
  held.date AS day,
  one.entity,
  one.found
FROM (
  {coverage}
) AS held
CROSS JOIN UNNEST([
  {counts}
]) AS one
