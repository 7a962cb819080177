-- Does every table of a phase hold the dates that another phase holds, less those that are
-- legitimately empty?
SELECT
  {criterion} AS criterion,
  allowed.day,
  1 AS expected,
  MIN(IF(counts.day IS NULL, 0, 1)) AS found
FROM allowed
JOIN held ON held.phase = {against} AND held.day = allowed.day
JOIN tables ON tables.phase = allowed.phase
LEFT JOIN counts
  ON counts.phase = allowed.phase
  AND counts.day = allowed.day
  AND counts.table_name = tables.table_name
  AND counts.entity = '*'
WHERE allowed.phase = {phase}
GROUP BY allowed.day
