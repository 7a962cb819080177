-- ids: which distinct ids of one entity does one table hold per date? A part of differences.sql.
-- The bounds let a partitioned table be pruned, and satisfy one that requires a filter.
SELECT DISTINCT
  {day} AS date,
  {entity} AS entity,
  {id} AS id
FROM {table}
WHERE {within}
  AND {day} IN UNNEST(@dates){filters}
