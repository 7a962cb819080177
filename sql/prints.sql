-- prints: one number per date made of its whole rows, in no order. Rows that stand twice count twice.
SELECT
  {day} AS date,
  COUNT(*) AS row_count,
  SUM(MOD(FARM_FINGERPRINT(TO_JSON_STRING(STRUCT({columns}))), 1000000007)) AS print
FROM {table}
WHERE {within}
GROUP BY 1
ORDER BY 1
