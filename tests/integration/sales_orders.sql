-- Which orders did four made-up stores take from @start_date to @end_date?
--
-- Arithmetic instead of chance. No store opens on a Sunday, and store 4 on no Monday either.
-- Each visitor orders up to three times, some within half an hour of the last time, and some
-- after half an hour to the second.
INSERT INTO shop_raw.orders
  (order_date, order_id, store_id, visitor_id, ordered_at, items, cents)
SELECT
  order_date,
  UNIX_DATE(order_date) * 1000 + store_id * 100 + visitor * 10 + visit AS order_id,
  store_id,
  store_id * 1000 + MOD(visitor * 7 + UNIX_DATE(order_date), 40) AS visitor_id,
  TIMESTAMP_SECONDS(
    UNIX_DATE(order_date) * 86400
    + 32400
    + visitor * 2700
    + visit * (600 + 400 * MOD(UNIX_DATE(order_date) + visitor * store_id, 5))
  ) AS ordered_at,
  1 + MOD(visitor + visit, 4) AS items,
  100 + MOD(UNIX_DATE(order_date) * 37 + store_id * 101 + visitor * 13 + visit * 7, 9000) AS cents
FROM UNNEST(GENERATE_DATE_ARRAY(@start_date, @end_date)) AS order_date
CROSS JOIN UNNEST([1, 2, 3, 4]) AS store_id
CROSS JOIN UNNEST([1, 2, 3, 4, 5, 6]) AS visitor
CROSS JOIN UNNEST([0, 1, 2]) AS visit
WHERE MOD(UNIX_DATE(order_date) + 4, 7) != 0
  AND NOT (store_id = 4 AND MOD(UNIX_DATE(order_date) + 4, 7) = 1)
  AND visit <= MOD(visitor + store_id + UNIX_DATE(order_date), 3)
