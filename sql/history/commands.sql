-- Writes the commands that touched a run that has ended, in order, in place of those noted before.
MERGE {commands}
USING (
  SELECT
    @run_id AS run_id,
    @pipeline AS pipeline,
    @numbers[OFFSET(n)] AS number,
    command,
    @bys[OFFSET(n)] AS given_by,
    @logins[OFFSET(n)] AS login,
    @hosts[OFFSET(n)] AS host,
    @folders[OFFSET(n)] AS folder,
    TIMESTAMP_MILLIS(@ats_ms[OFFSET(n)]) AS given,
    @versions[OFFSET(n)] AS version
  FROM UNNEST(@texts) AS command WITH OFFSET AS n
)
ON FALSE
WHEN NOT MATCHED BY SOURCE AND run_id = @run_id THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT ROW
