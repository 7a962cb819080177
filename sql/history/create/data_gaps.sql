-- Every phase and date that was ever found short: since when, why, and when it was healed.
CREATE TABLE IF NOT EXISTS {gaps} (
  detected TIMESTAMP NOT NULL,
  pipeline STRING NOT NULL,
  phase STRING NOT NULL,
  date DATE NOT NULL,
  reason STRING NOT NULL,
  status STRING NOT NULL,
  healed_at TIMESTAMP,
  run_id STRING NOT NULL
)
PARTITION BY date
