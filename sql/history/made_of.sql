-- What made the dates of a pipeline from @start_date to @end_date: of each the newest note.
SELECT
  run_id,
  phase,
  date,
  UNIX_MILLIS(ended) AS ended_ms,
  version,
  runner,
  statements,
  code
FROM {made}
WHERE pipeline = @pipeline AND date BETWEEN @start_date AND @end_date
QUALIFY ROW_NUMBER() OVER (PARTITION BY phase, date ORDER BY ended DESC) = 1
