-- Does every table of a phase hold the entities that another phase holds? What it holds beyond
-- them on one date does not make up for what it lacks on another.
SELECT
  {criterion} AS criterion,
  day,
  most AS expected,
  LEAST(most, least) AS found
FROM (
  SELECT
    allowed.day,
    MAX(IF(counted.phase = {against}, COALESCE(counts.found, 0), NULL)) AS most,
    MIN(IF(counted.phase = {phase}, COALESCE(counts.found, 0), NULL)) AS least
  FROM allowed
  JOIN counted ON counted.phase IN ({phase}, {against}) AND counted.entity = {entity}
  LEFT JOIN counts
    ON counts.phase = counted.phase
    AND counts.table_name = counted.table_name
    AND counts.entity = counted.entity
    AND counts.day = allowed.day
  WHERE allowed.phase = {phase}
  GROUP BY allowed.day
)
WHERE most > 0
