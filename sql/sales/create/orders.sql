-- What was sold, one row per order, as the tills send it.
CREATE TABLE IF NOT EXISTS shop_raw.orders (
  order_date DATE NOT NULL,
  order_id INT64 NOT NULL,
  store_id INT64 NOT NULL,
  visitor_id INT64 NOT NULL,
  ordered_at TIMESTAMP NOT NULL,
  items INT64 NOT NULL,
  cents INT64 NOT NULL
)
PARTITION BY order_date
