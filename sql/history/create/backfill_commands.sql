-- Every command that touched a run: who gave it, from where, when, and with which version.
CREATE TABLE IF NOT EXISTS {commands} (
  run_id STRING NOT NULL,
  pipeline STRING NOT NULL,
  number INT64 NOT NULL,
  command STRING NOT NULL,
  given_by STRING NOT NULL,
  login STRING NOT NULL,
  host STRING NOT NULL,
  folder STRING NOT NULL,
  given TIMESTAMP NOT NULL,
  version STRING NOT NULL
)
