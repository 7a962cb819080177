-- What made each phase and date that a run settled: hashes that --changed compares with today's.
CREATE TABLE IF NOT EXISTS {made} (
  run_id STRING NOT NULL,
  pipeline STRING NOT NULL,
  phase STRING NOT NULL,
  date DATE NOT NULL,
  ended TIMESTAMP NOT NULL,
  version STRING NOT NULL,
  runner STRING NOT NULL,
  statements STRING NOT NULL,
  code STRING NOT NULL
)
PARTITION BY date
