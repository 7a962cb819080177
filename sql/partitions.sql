-- partitions: when was each partition of one table last written, and how many rows does it hold?
-- The bounds compare partition ids as text (YYYY, YYYYMM or YYYYMMDD), so that one statement
-- serves tables partitioned by day, month or year. `__NULL__` and `__UNPARTITIONED__` (rows still
-- in the streaming buffer) belong to no date and fall outside the bounds.
SELECT
  partition_id,
  total_rows,
  last_modified_time
FROM {dataset}.INFORMATION_SCHEMA.PARTITIONS
WHERE table_name = @table_name
  AND partition_id BETWEEN @first_partition AND @last_partition
ORDER BY partition_id
