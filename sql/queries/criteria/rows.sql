-- How many rows does the shortest table of a phase hold? At least one is expected on a date.
SELECT
  {criterion} AS criterion,
  day,
  1 AS expected,
  MIN(found) AS found
FROM compared
WHERE phase = {phase} AND entity = '*'
GROUP BY day
