-- What each store sold on a day.
CREATE TABLE IF NOT EXISTS shop_marts.store_daily (
  day DATE NOT NULL,
  store_id INT64 NOT NULL,
  receipts INT64 NOT NULL,
  items INT64 NOT NULL,
  cents INT64 NOT NULL
)
PARTITION BY day
