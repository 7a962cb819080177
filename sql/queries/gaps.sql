-- gaps: which phases and dates are missing or partial, and which are orphans: rows for a date on
-- which a phase that they are computed from holds none?
-- Expected and found are entities of the shortest table (rows, where it counts none). The season
-- is NULL outside every season.
WITH
{pipeline},
{calendar},
{counts},
{judged}
SELECT
  days.season,
  judged.phase,
  judged.day AS date,
  judged.status,
  judged.expected,
  judged.found,
  judged.table_names
FROM judged
JOIN phases ON phases.phase = judged.phase
LEFT JOIN days ON days.day = judged.day AND days.part = ''
WHERE judged.status <> 'complete'
ORDER BY phases.place, judged.day, judged.status
