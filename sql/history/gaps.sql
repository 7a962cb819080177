-- Writes the gaps of a pipeline that a count found from @start_date to @end_date, in one statement.
--
-- @gap_phases, @gap_dates and so on are one list: a row of each is a gap, open, healed by a run, or
-- accepted by the pipeline file.
-- The first row is none, since a list may not be empty.
--
-- - A gap that is open already keeps its time of detection; one that was healed before is new.
-- - A gap that a run healed after the count began (@counted_ms) stays healed.
-- - An open gap that the count does not find is healed, by another run or by hand. Not so a date to
--   recompute (cascade, stale), which no count shows, nor a gap that was found after the count began.
-- - The same gaps of the same run give the same rows.
MERGE {gaps}
USING (
  WITH listed AS (
    SELECT
      phase,
      @gap_dates[OFFSET(n)] AS date,
      @gap_reasons[OFFSET(n)] AS reason,
      @gap_statuses[OFFSET(n)] AS status,
      @gap_runs[OFFSET(n)] AS run_id
    FROM UNNEST(@gap_phases) AS phase WITH OFFSET AS n
    WHERE phase <> ''
  ),
  known AS (
    SELECT *
    FROM {gaps}
    WHERE pipeline = @pipeline AND date BETWEEN @start_date AND @end_date
  ),
  found AS (
    SELECT listed.*
    FROM listed
    LEFT JOIN known
      ON known.phase = listed.phase AND known.date = listed.date
    WHERE listed.status <> 'open'
      OR known.healed_at IS NULL
      OR known.healed_at <= TIMESTAMP_MILLIS(@counted_ms)
  ),
  paired AS (
    SELECT
      COALESCE(found.phase, known.phase) AS phase,
      COALESCE(found.date, known.date) AS date,
      COALESCE(found.reason, known.reason) AS reason,
      COALESCE(NULLIF(found.run_id, ''), known.run_id, '') AS run_id,
      CASE
        WHEN found.phase IS NOT NULL THEN found.status
        WHEN known.reason IN ('cascade', 'stale') THEN known.status
        WHEN known.detected > TIMESTAMP_MILLIS(@counted_ms) THEN known.status
        ELSE 'healed'
      END AS status,
      known.detected AS known_detected,
      known.healed_at AS known_healed_at,
      -- Whether it is the known gap, or a later one of the same date.
      known.phase IS NOT NULL
        AND (
          found.phase IS NULL
          OR known.status IN ('open', 'accepted')
          OR (known.run_id = found.run_id AND found.run_id <> '')
        ) AS is_known
    FROM found
    FULL OUTER JOIN known
      ON known.phase = found.phase AND known.date = found.date
  )
  SELECT
    IF(is_known, known_detected, TIMESTAMP_MILLIS(@detected_ms)) AS detected,
    @pipeline AS pipeline,
    phase,
    date,
    reason,
    status,
    CASE
      WHEN status = 'open' THEN NULL
      WHEN is_known AND known_healed_at IS NOT NULL THEN known_healed_at
      ELSE TIMESTAMP_MILLIS(@counted_ms)
    END AS healed_at,
    run_id
  FROM paired
)
ON FALSE
WHEN NOT MATCHED BY SOURCE
  AND pipeline = @pipeline AND date BETWEEN @start_date AND @end_date THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT ROW
