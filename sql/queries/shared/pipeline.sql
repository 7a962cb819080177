-- What the pipeline file says: phases, what each is computed from (a source from itself), their
-- tables, and what is counted in a table ('*' counts its rows) with the share that is enough.
phases AS (
  SELECT *
  FROM UNNEST(ARRAY<STRUCT<
    phase STRING, place INT64, is_source BOOL, sources INT64, early_days INT64, counts BOOL
  >>[
    {phases}
  ])
),
upstreams AS (
  SELECT *
  FROM UNNEST(ARRAY<STRUCT<phase STRING, upstream STRING, is_direct BOOL, is_source BOOL>>[
    {upstreams}
  ])
),
tables AS (
  SELECT *
  FROM UNNEST(ARRAY<STRUCT<
    phase STRING, table_name STRING, place INT64, counts BOOL, low FLOAT64, high FLOAT64
  >>[
    {tables}
  ])
),
counted AS (
  SELECT *
  FROM UNNEST(ARRAY<STRUCT<
    phase STRING, table_name STRING, table_place INT64, entity STRING, place INT64, share NUMERIC,
    early_days INT64
  >>[
    {counted}
  ])
),
-- The tables upstream that a table is measured by, per entity: none where the entity begins.
measured AS (
  SELECT *
  FROM UNNEST(ARRAY<STRUCT<
    phase STRING, table_name STRING, entity STRING, upstream STRING, upstream_table STRING
  >>[
    {measured}
  ])
)
