-- What the warehouse billed for every run that has ended, by phase.
CREATE TABLE IF NOT EXISTS {costs} (
  run_id STRING NOT NULL,
  phase STRING NOT NULL,
  ended TIMESTAMP NOT NULL,
  bytes_billed INT64 NOT NULL,
  dollars FLOAT64 NOT NULL
)
