-- labelled_run: what were the jobs billed that carry the labels of a run, by step?
-- The run's own jobs lack `step`: what those were billed, each tells itself. A script's job is there
-- when it has ended; the parts of a multi-statement query are left out, since their parent is billed
-- as their sum.
SELECT
  step,
  SUM(billed) AS bytes_billed
FROM (
  SELECT
    IFNULL(jobs.total_bytes_billed, 0) AS billed,
    (SELECT MAX(one.value) FROM UNNEST(jobs.labels) AS one WHERE one.key = 'app') AS app,
    (SELECT MAX(one.value) FROM UNNEST(jobs.labels) AS one WHERE one.key = 'run') AS run,
    (SELECT MAX(one.value) FROM UNNEST(jobs.labels) AS one WHERE one.key = 'step') AS step
  FROM {region}.INFORMATION_SCHEMA.JOBS AS jobs
  WHERE jobs.creation_time >= TIMESTAMP_MILLIS(@since_ms)
    AND jobs.state = 'DONE'
    AND jobs.parent_job_id IS NULL
) AS labelled
WHERE app = @app
  AND run = @run
  AND step IS NOT NULL
GROUP BY step
