-- partitions: when was each partition of some tables of one dataset last written, and how many
-- rows does it hold? One statement for all of a dataset's tables. Names are compared in lower case,
-- since a dataset may be case-insensitive; as they are where it holds more than 1,000
-- tables [https://docs.cloud.google.com/bigquery/docs/information-schema-partitions].
-- The bounds compare partition ids as text (YYYY, YYYYMM, YYYYMMDD or YYYYMMDDHH), so that one
-- statement serves tables partitioned by hour, day, month or year. `__NULL__` (rows without a date) and
-- `__UNPARTITIONED__` (rows still in the streaming buffer) belong to no date, and are always told.
SELECT
  table_name,
  partition_id,
  total_rows,
  last_modified_time
FROM {dataset}.INFORMATION_SCHEMA.PARTITIONS
WHERE {named} IN UNNEST(@table_names)
  AND (
    partition_id BETWEEN @first_partition AND @last_partition
    OR STARTS_WITH(partition_id, '__')
  )
ORDER BY table_name, partition_id
