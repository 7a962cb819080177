-- What will each store sell after a day from @start_date to @end_date? The mean of the week up to it.
--
-- The first of these weeks begins six days before @start_date.
MERGE shop_marts.store_forecast
USING (
  SELECT
    daily.day,
    daily.store_id,
    COUNT(*) AS days_known,
    AVG(past.cents) AS next_day_cents
  FROM shop_marts.store_daily AS daily
  JOIN shop_marts.store_daily AS past
    ON past.store_id = daily.store_id
    AND past.day BETWEEN DATE_SUB(daily.day, INTERVAL 6 DAY) AND daily.day
  WHERE daily.day BETWEEN @start_date AND @end_date
    AND past.day BETWEEN DATE_SUB(@start_date, INTERVAL 6 DAY) AND @end_date
  GROUP BY daily.day, daily.store_id
)
ON FALSE
WHEN NOT MATCHED BY SOURCE AND day BETWEEN @start_date AND @end_date THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT ROW
