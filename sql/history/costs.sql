-- Writes what a run that has ended was billed, a row per phase, in place of those that may be there.
MERGE {costs}
USING (
  SELECT
    @run_id AS run_id,
    phase,
    TIMESTAMP_MILLIS(@ended_ms) AS ended,
    @bytes[OFFSET(n)] AS bytes_billed,
    @dollars[OFFSET(n)] AS dollars
  FROM UNNEST(@phases) AS phase WITH OFFSET AS n
)
ON FALSE
WHEN NOT MATCHED BY SOURCE AND run_id = @run_id THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT ROW
