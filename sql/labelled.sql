-- labelled: what were the jobs of scripts billed, by phase and runner, and for how many dates?
-- Labels are anybody's to write: a job that lacks one of ours, or whose number of dates or of its
-- runner is none, is left out. So are the parts of a multi-statement query: their parent is billed
-- as their sum. Attempts at one step are billed together, for the dates of the largest of them,
-- since a retry may be left with fewer.
SELECT
  phase,
  runner,
  SUM(billed) AS bytes_billed,
  SUM(dates) AS dates
FROM (
  SELECT
    phase,
    runner,
    run,
    step,
    SUM(billed) AS billed,
    MAX(dates) AS dates
  FROM (
    SELECT
      IFNULL(jobs.total_bytes_billed, 0) AS billed,
      (SELECT MAX(one.value) FROM UNNEST(jobs.labels) AS one WHERE one.key = 'app') AS app,
      (SELECT MAX(one.value) FROM UNNEST(jobs.labels) AS one WHERE one.key = 'pipeline') AS pipeline,
      (SELECT MAX(one.value) FROM UNNEST(jobs.labels) AS one WHERE one.key = 'phase') AS phase,
      (SELECT MAX(one.value) FROM UNNEST(jobs.labels) AS one WHERE one.key = 'run') AS run,
      (SELECT MAX(one.value) FROM UNNEST(jobs.labels) AS one WHERE one.key = 'step') AS step,
      (
        SELECT SAFE_CAST(MAX(one.value) AS INT64)
        FROM UNNEST(jobs.labels) AS one
        WHERE one.key = 'runner'
      ) AS runner,
      (
        SELECT SAFE_CAST(MAX(one.value) AS INT64)
        FROM UNNEST(jobs.labels) AS one
        WHERE one.key = 'dates'
      ) AS dates
    FROM {region}.INFORMATION_SCHEMA.JOBS AS jobs
    WHERE jobs.creation_time > TIMESTAMP_SUB(CURRENT_TIMESTAMP(), INTERVAL @days DAY)
      AND jobs.state = 'DONE'
      AND jobs.parent_job_id IS NULL
  ) AS labelled
  WHERE app = @app
    AND pipeline = @pipeline
    AND phase IN UNNEST(@phases)
    AND run IS NOT NULL
    AND step IS NOT NULL
    AND runner >= 1
    AND dates BETWEEN 1 AND @most_dates
  GROUP BY phase, runner, run, step
) AS steps
GROUP BY phase, runner
