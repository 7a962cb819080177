-- What did each store sell on the days from @start_date to @end_date, by the clocks of its town?
--
-- The moments are compared with constants first, so that BigQuery reads no other partitions.
MERGE shop_marts.store_daily
USING (
  SELECT
    DATE(sold_at, 'Europe/Berlin') AS day,
    store_id,
    COUNT(*) AS receipts,
    SUM(items) AS items,
    SUM(cents) AS cents
  FROM shop_raw.receipts
  WHERE sold_at >= TIMESTAMP(@start_date, 'Europe/Berlin')
    AND sold_at < TIMESTAMP(DATE_ADD(@end_date, INTERVAL 1 DAY), 'Europe/Berlin')
  GROUP BY day, store_id
)
ON FALSE
WHEN NOT MATCHED BY SOURCE AND day BETWEEN @start_date AND @end_date THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT ROW
