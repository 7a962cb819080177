-- Every run that has ended: what it was for, how it ended, and how long it took.
CREATE TABLE IF NOT EXISTS {runs} (
  run_id STRING NOT NULL,
  plan_id STRING NOT NULL,
  pipeline STRING NOT NULL,
  state STRING NOT NULL,
  reason STRING NOT NULL,
  scope_start DATE NOT NULL,
  scope_end DATE NOT NULL,
  created TIMESTAMP NOT NULL,
  ended TIMESTAMP NOT NULL,
  steps INT64 NOT NULL,
  steps_succeeded INT64 NOT NULL,
  dates_checked INT64 NOT NULL,
  dates_short INT64 NOT NULL,
  dates_remaining INT64 NOT NULL,
  work_seconds FLOAT64 NOT NULL
)
