-- How did each store do on the days from @start_date to @end_date, and in the week before each?
--
-- A week is the day and the six calendar days before it, open or not, so six days more are read
-- than are written. Everything is a sum, a count or a maximum of integers.
MERGE shop_reports.store_daily
USING (
  WITH
    days AS (
      SELECT
        order_date AS report_date,
        store_id,
        COUNT(DISTINCT visitor_id) AS visitors,
        COUNT(*) AS sessions,
        SUM(orders) AS orders,
        SUM(cents) AS cents
      FROM shop_analytics.sessions
      WHERE order_date BETWEEN DATE_SUB(@start_date, INTERVAL 6 DAY) AND @end_date
      GROUP BY report_date, store_id
    ),
    weeks AS (
      SELECT
        *,
        COUNT(*) OVER week AS days_open_in_week,
        SUM(sessions) OVER week AS sessions_in_week,
        SUM(orders) OVER week AS orders_in_week,
        SUM(cents) OVER week AS cents_in_week,
        MAX(cents) OVER week AS best_day_cents_in_week
      FROM days
      WINDOW week AS (
        PARTITION BY store_id
        ORDER BY UNIX_DATE(report_date)
        RANGE BETWEEN 6 PRECEDING AND CURRENT ROW
      )
    )
  SELECT
    report_date,
    store_id,
    visitors,
    sessions,
    orders,
    cents,
    days_open_in_week,
    sessions_in_week,
    orders_in_week,
    cents_in_week,
    best_day_cents_in_week
  FROM weeks
  WHERE report_date BETWEEN @start_date AND @end_date
)
ON FALSE
WHEN NOT MATCHED BY SOURCE AND report_date BETWEEN @start_date AND @end_date THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT ROW
