-- What should be there, date by date, and what is.
held AS (
  SELECT DISTINCT phase, day FROM counts
),
-- Dates with rows somewhere, less those on which the pipeline file expects none of a phase.
allowed AS (
  SELECT phases.phase, dated.day
  FROM phases
  CROSS JOIN (SELECT DISTINCT day FROM held) AS dated
  LEFT JOIN bootstrap ON bootstrap.day = dated.day
  LEFT JOIN excluded ON excluded.day = dated.day AND excluded.phase IN ('', phases.phase)
  WHERE excluded.day IS NULL AND COALESCE(bootstrap.day_number, 366) >= phases.early_days
),
-- A date is due in a phase when each of the phase's sources holds rows.
due AS (
  SELECT allowed.phase, allowed.day
  FROM allowed
  JOIN phases ON phases.phase = allowed.phase
  JOIN upstreams ON upstreams.phase = allowed.phase AND upstreams.is_source
  JOIN held ON held.phase = upstreams.upstream AND held.day = allowed.day
  GROUP BY allowed.phase, allowed.day
  HAVING COUNT(*) = MAX(phases.sources)
),
-- The most of each entity that any table holds which a table is measured by.
expected AS (
  SELECT
    measured.phase,
    measured.table_name,
    counts.day,
    measured.entity,
    MAX(counts.found) AS most
  FROM measured
  JOIN counts
    ON counts.phase = measured.upstream
    AND counts.table_name = measured.upstream_table
    AND counts.entity = measured.entity
  GROUP BY measured.phase, measured.table_name, counts.day, measured.entity
),
compared AS (
  SELECT
    due.phase,
    due.day,
    counted.table_name,
    counted.table_place,
    counted.entity,
    counted.place,
    IF(counted.entity = '*', 1, CAST(CEIL(COALESCE(expected.most, 0) * counted.share) AS INT64))
      AS needed,
    COALESCE(counts.found, 0) AS found
  FROM due
  JOIN counted ON counted.phase = due.phase
  LEFT JOIN bootstrap ON bootstrap.day = due.day
  LEFT JOIN expected
    ON expected.phase = due.phase
    AND expected.table_name = counted.table_name
    AND expected.day = due.day
    AND expected.entity = counted.entity
  LEFT JOIN counts
    ON counts.phase = due.phase
    AND counts.day = due.day
    AND counts.table_name = counted.table_name
    AND counts.entity = counted.entity
  WHERE COALESCE(bootstrap.day_number, 366) >= counted.early_days
),
-- The first entity that a table is short of is the one that is shown.
short AS (
  SELECT compared.phase, day, table_name, table_place, needed, found
  FROM compared
  JOIN phases ON phases.phase = compared.phase
  WHERE found < needed AND NOT phases.is_source
  QUALIFY ROW_NUMBER() OVER (
    PARTITION BY compared.phase, day, table_name ORDER BY compared.place
  ) = 1
),
shortest AS (
  SELECT
    phase,
    day,
    STRING_AGG(table_name, ', ' ORDER BY table_place) AS table_names,
    ARRAY_AGG(needed ORDER BY SAFE_DIVIDE(found, needed), table_place)[OFFSET(0)] AS needed,
    ARRAY_AGG(found ORDER BY SAFE_DIVIDE(found, needed), table_place)[OFFSET(0)] AS found
  FROM short
  GROUP BY phase, day
),
-- One source is enough; any other phase is all its tables.
entities AS (
  SELECT
    compared.phase,
    day,
    IF(LOGICAL_OR(phases.is_source), MAX(found), MIN(found)) AS found
  FROM compared
  JOIN phases ON phases.phase = compared.phase
  WHERE entity = @entity
  GROUP BY compared.phase, day
),
-- The first days of a phase above are no reason, where they are none of the phase's own.
orphaned AS (
  SELECT DISTINCT held.phase, held.day
  FROM held
  JOIN phases ON phases.phase = held.phase
  JOIN upstreams ON upstreams.phase = held.phase AND upstreams.is_direct
  JOIN phases AS upper ON upper.phase = upstreams.upstream
  LEFT JOIN held AS above ON above.phase = upstreams.upstream AND above.day = held.day
  LEFT JOIN bootstrap ON bootstrap.day = held.day
  WHERE above.day IS NULL AND (
    COALESCE(bootstrap.day_number, 366) < phases.early_days
    OR COALESCE(bootstrap.day_number, 366) >= upper.early_days
  )
),
judged AS (
  SELECT
    due.phase,
    due.day,
    CASE
      WHEN shortest.day IS NULL THEN 'complete'
      WHEN held.day IS NULL THEN 'missing'
      ELSE 'partial'
    END AS status,
    shortest.needed AS expected,
    shortest.found,
    shortest.table_names,
    entities.found AS entities
  FROM due
  LEFT JOIN shortest ON shortest.phase = due.phase AND shortest.day = due.day
  LEFT JOIN held ON held.phase = due.phase AND held.day = due.day
  LEFT JOIN entities ON entities.phase = due.phase AND entities.day = due.day
  UNION ALL
  SELECT
    orphaned.phase,
    orphaned.day,
    'orphan' AS status,
    0 AS expected,
    SUM(counts.found) AS found,
    STRING_AGG(counts.table_name, ', ' ORDER BY tables.place) AS table_names,
    CAST(NULL AS INT64) AS entities
  FROM orphaned
  JOIN counts ON counts.phase = orphaned.phase AND counts.day = orphaned.day
  JOIN tables ON tables.phase = counts.phase AND tables.table_name = counts.table_name
  WHERE counts.entity = '*'
  GROUP BY orphaned.phase, orphaned.day
)
