-- Writes the row of a run that has ended, in place of the one that may be there.
MERGE {runs}
USING (
  SELECT
    @run_id AS run_id,
    @plan_id AS plan_id,
    @pipeline AS pipeline,
    @state AS state,
    @reason AS reason,
    @scope_start AS scope_start,
    @scope_end AS scope_end,
    TIMESTAMP_MILLIS(@created_ms) AS created,
    TIMESTAMP_MILLIS(@ended_ms) AS ended,
    @steps AS steps,
    @steps_succeeded AS steps_succeeded,
    @dates_checked AS dates_checked,
    @dates_short AS dates_short,
    @dates_remaining AS dates_remaining,
    @work_seconds AS work_seconds
)
ON FALSE
WHEN NOT MATCHED BY SOURCE AND run_id = @run_id THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT ROW
