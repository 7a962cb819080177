-- Writes what made the dates of a run that has ended, in place of what was noted of it before.
MERGE {made}
USING (
  SELECT
    @run_id AS run_id,
    @pipeline AS pipeline,
    phase,
    @dates[OFFSET(n)] AS date,
    TIMESTAMP_MILLIS(@ended_ms) AS ended,
    @versions[OFFSET(n)] AS version,
    @runners[OFFSET(n)] AS runner,
    @statements[OFFSET(n)] AS statements,
    @codes[OFFSET(n)] AS code
  FROM UNNEST(@phases) AS phase WITH OFFSET AS n
)
ON FALSE
WHEN NOT MATCHED BY SOURCE AND run_id = @run_id THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT ROW
