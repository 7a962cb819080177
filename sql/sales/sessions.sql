-- Which visits to a store do the orders from @start_date to @end_date make up?
--
-- Orders of one visitor in one store that are less than 30 minutes apart are one visit. A visit
-- does not go past midnight, so a day's visits are made from that day alone. Orders of the same
-- second are told apart by their number, so the rows are the same whenever this is run.
MERGE shop_analytics.sessions
USING (
  WITH
    since AS (
      SELECT
        *,
        UNIX_SECONDS(ordered_at) - LAG(UNIX_SECONDS(ordered_at)) OVER visit AS seconds_since
      FROM shop_raw.orders
      WHERE order_date BETWEEN @start_date AND @end_date
      WINDOW visit AS (
        PARTITION BY order_date, store_id, visitor_id ORDER BY ordered_at, order_id
      )
    ),
    numbered AS (
      SELECT
        *,
        1 + SUM(IF(seconds_since >= 1800, 1, 0)) OVER so_far AS session_number
      FROM since
      WINDOW so_far AS (
        PARTITION BY order_date, store_id, visitor_id ORDER BY ordered_at, order_id
        ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
      )
    )
  SELECT
    order_date,
    store_id,
    visitor_id,
    session_number,
    MIN(ordered_at) AS started_at,
    MAX(ordered_at) AS ended_at,
    COUNT(*) AS orders,
    SUM(items) AS items,
    SUM(cents) AS cents
  FROM numbered
  GROUP BY order_date, store_id, visitor_id, session_number
)
ON FALSE
WHEN NOT MATCHED BY SOURCE AND order_date BETWEEN @start_date AND @end_date THEN DELETE
WHEN NOT MATCHED BY TARGET THEN INSERT ROW
