-- What did each store sell in the weeks that end on a Sunday from @start_date to @end_date?
--
-- The first of these weeks begins six days before @start_date.
MERGE shop_marts.store_weekly
USING (
  WITH
    days AS (
      SELECT *, DATE_ADD(DATE_TRUNC(day, ISOWEEK), INTERVAL 6 DAY) AS week_ending
      FROM shop_marts.store_daily
      WHERE day BETWEEN DATE_SUB(@start_date, INTERVAL 6 DAY) AND @end_date
    )
  SELECT
    week_ending,
    store_id,
    COUNT(*) AS days_open,
    SUM(receipts) AS receipts,
    SUM(cents) AS cents
  FROM days
  WHERE week_ending BETWEEN @start_date AND @end_date
  GROUP BY week_ending, store_id
)
ON FALSE
WHEN NOT MATCHED BY SOURCE AND week_ending BETWEEN @start_date AND @end_date THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT ROW
