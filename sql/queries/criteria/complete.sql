-- Is every date complete in every phase in which it is due?
SELECT
  {criterion} AS criterion,
  day,
  1 AS expected,
  MIN(IF(status = 'complete', 1, 0)) AS found
FROM judged
WHERE phase IN ({phases}) AND status <> 'orphan'
GROUP BY day
