-- coverage: how many rows, and how many distinct entities, does one table hold per date?
-- The filter on the date column is always there: a partitioned table may require it, and it
-- keeps the bytes read to the dates asked for.
SELECT
  {day} AS date,
  COUNT(*) AS row_count{counts}
FROM {table}
WHERE {within}{filters}
GROUP BY 1
ORDER BY 1
