-- What one table holds per date: a row for each thing that is counted in it.
SELECT
  {phase} AS phase,
  {table_name} AS table_name,
  held.date AS day,
  fact.entity,
  fact.found
FROM (
  {coverage}
) AS held
CROSS JOIN UNNEST([
  {facts}
]) AS fact
