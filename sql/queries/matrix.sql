-- matrix: how complete is each phase in each season, and in each named part of it?
-- `overall` is over all phases. A season in which nothing is due is not complete: it has no rows.
WITH
{pipeline},
{calendar},
{counts},
{judged},
marks AS (
  SELECT phase, day, status, entities, 0 AS row_count FROM judged
  UNION ALL
  SELECT phase, day, 'rows' AS status, NULL AS entities, found AS row_count
  FROM counts
  WHERE entity = '*'
),
tallies AS (
  SELECT
    parts.season,
    parts.part,
    parts.starts,
    phases.phase,
    phases.place,
    phases.is_source,
    COUNT(IF(marked.status IN ('complete', 'missing', 'partial'), 1, NULL)) AS expected,
    COUNT(IF(marked.status = 'complete', 1, NULL)) AS complete,
    COUNT(IF(marked.status = 'missing', 1, NULL)) AS missing,
    COUNT(IF(marked.status = 'partial', 1, NULL)) AS partial,
    COUNT(IF(marked.status = 'orphan', 1, NULL)) AS orphan,
    IF(phases.counts, COALESCE(SUM(marked.entities), 0), NULL) AS entities,
    COALESCE(SUM(marked.row_count), 0) AS row_count
  FROM parts
  CROSS JOIN phases
  LEFT JOIN (
    SELECT marks.*, days.season, days.part
    FROM marks
    JOIN days ON days.day = marks.day
  ) AS marked
    ON marked.season = parts.season
    AND marked.part = parts.part
    AND marked.phase = phases.phase
  GROUP BY
    parts.season, parts.part, parts.starts, phases.phase, phases.place, phases.is_source,
    phases.counts
)
SELECT
  season,
  part,
  phase,
  expected,
  complete,
  missing,
  partial,
  orphan,
  entities,
  row_count,
  CASE
    WHEN expected = 0 THEN 'nothing due'
    WHEN complete = expected THEN 'complete'
    ELSE 'gaps'
  END AS status,
  CASE
    WHEN COUNT(IF(is_source AND expected > 0, 1, NULL)) OVER whole = 0 THEN 'no rows'
    WHEN COUNT(IF(complete < expected, 1, NULL)) OVER whole > 0 THEN 'gaps'
    ELSE 'complete'
  END AS overall
FROM tallies
WINDOW whole AS (PARTITION BY season, part)
ORDER BY starts, part, place
