-- What each store sold in a week, by the Sunday that ends it.
CREATE TABLE IF NOT EXISTS shop_marts.store_weekly (
  week_ending DATE NOT NULL,
  store_id INT64 NOT NULL,
  days_open INT64 NOT NULL,
  receipts INT64 NOT NULL,
  cents INT64 NOT NULL
)
PARTITION BY week_ending
