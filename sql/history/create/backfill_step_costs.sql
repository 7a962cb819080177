-- What the warehouse billed for every step of a run that has ended. Of it, bytes_labelled is known by
-- the labels of jobs alone; unknown says why what the step's runner was billed is not in it.
CREATE TABLE IF NOT EXISTS {step_costs} (
  run_id STRING NOT NULL,
  phase STRING NOT NULL,
  step STRING NOT NULL,
  ended TIMESTAMP NOT NULL,
  bytes_billed INT64 NOT NULL,
  bytes_labelled INT64 NOT NULL,
  dollars FLOAT64 NOT NULL,
  unknown STRING NOT NULL
)
