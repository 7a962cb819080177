-- Writes what an ended run's steps were billed, a row per step, in place of those that may be there.
MERGE {step_costs}
USING (
  SELECT
    @run_id AS run_id,
    @phases[OFFSET(n)] AS phase,
    step,
    TIMESTAMP_MILLIS(@ended_ms) AS ended,
    @bytes[OFFSET(n)] AS bytes_billed,
    @labelled[OFFSET(n)] AS bytes_labelled,
    @dollars[OFFSET(n)] AS dollars,
    @unknown[OFFSET(n)] AS unknown
  FROM UNNEST(@steps) AS step WITH OFFSET AS n
)
ON FALSE
WHEN NOT MATCHED BY SOURCE AND run_id = @run_id THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT ROW
