-- How right each system was, in one table, per date.
SELECT
  {table_name} AS table_name,
  held.date,
  IF(held.is_total, '*', COALESCE(held.graded_system, '?')) AS system,
  held.row_count,
  {entities} AS entities,
  held.measured,
  held.error_sum,
  held.judged,
  held.correct
FROM (
  {coverage}
) AS held
