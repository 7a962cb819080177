-- graded: as coverage, and how right each system was: per date, and per date and system.
-- What groups is of the table by name: in GROUP BY a bare name would be that of an answer's column.
-- One scan gives both: numbers of distinct entities do not add up over systems, sums do.
SELECT
  {day} AS date,
  GROUPING({system}) = 1 AS is_total,
  CAST({system} AS STRING) AS graded_system,
  COUNT(*) AS row_count{counts},
  COUNT({error}) AS measured,
  CAST(SUM({error}) AS FLOAT64) AS error_sum,
  COUNT({correct}) AS judged,
  COUNT(IF({correct}, 1, NULL)) AS correct
FROM {table} AS graded
WHERE {within}{filters}
GROUP BY GROUPING SETS (({day}), ({day}, {system}))
ORDER BY date, is_total DESC, graded_system
