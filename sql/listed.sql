-- listed: which days does a table list, such as the holidays of a calendar, or the days from one
-- date to another on which something was halted?
SELECT DISTINCT
  {day} AS first_day,
  {until} AS last_day
FROM {table}
WHERE {within}{filters}
