-- What each store sold in a month, by the month's first day.
CREATE TABLE IF NOT EXISTS shop_marts.store_monthly (
  month DATE NOT NULL,
  store_id INT64 NOT NULL,
  days_open INT64 NOT NULL,
  receipts INT64 NOT NULL,
  cents INT64 NOT NULL,
  best_day_cents INT64 NOT NULL
)
PARTITION BY month
