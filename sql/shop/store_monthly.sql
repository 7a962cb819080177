-- What did each store sell in the months whose first day is from @start_date to @end_date?
--
-- The last of these months goes on after @end_date, up to its last day.
MERGE shop_marts.store_monthly
USING (
  WITH
    days AS (
      SELECT *, DATE_TRUNC(day, MONTH) AS month
      FROM shop_marts.store_daily
      WHERE day BETWEEN @start_date AND LAST_DAY(@end_date)
    )
  SELECT
    month,
    store_id,
    COUNT(*) AS days_open,
    SUM(receipts) AS receipts,
    SUM(cents) AS cents,
    MAX(cents) AS best_day_cents
  FROM days
  WHERE month BETWEEN @start_date AND @end_date
  GROUP BY month, store_id
)
ON FALSE
WHEN NOT MATCHED BY SOURCE AND month BETWEEN @start_date AND @end_date THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT ROW
