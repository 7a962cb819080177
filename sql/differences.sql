-- differences: which ids does one table hold that those it is measured by do not, and the other
-- way round? One statement for all of a table's entities, over the dates whose fingerprints differ.
-- `sides` are SELECTs of date, entity, id and is_own, one per entity and side.
WITH ids AS (
  {sides}
),
apart AS (
  SELECT
    date,
    entity,
    id,
    LOGICAL_OR(is_own) AS is_surplus
  FROM ids
  WHERE id IS NOT NULL
  GROUP BY date, entity, id
  HAVING NOT (LOGICAL_OR(is_own) AND LOGICAL_OR(NOT is_own))
),
numbered AS (
  SELECT
    date,
    entity,
    id,
    is_surplus,
    COUNT(*) OVER (PARTITION BY date, entity, is_surplus) AS ids_apart,
    ROW_NUMBER() OVER (PARTITION BY date, entity, is_surplus ORDER BY id) AS place
  FROM apart
)
SELECT
  date,
  entity,
  id,
  is_surplus,
  ids_apart
FROM numbered
WHERE place <= @ids_shown
ORDER BY date, entity, is_surplus, place
