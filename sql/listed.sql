-- listed: which days does a table list, such as the holidays of a calendar, or the days from one
-- date to another on which something was halted?
SELECT DISTINCT
  {date} AS first_day,
  {until} AS last_day
FROM {table}
WHERE {date} <= @end_date
  AND {until} >= @start_date{filters}
