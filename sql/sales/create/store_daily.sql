-- How each store did on a day it was open, and in the week that ends with it.
CREATE TABLE IF NOT EXISTS shop_reports.store_daily (
  report_date DATE NOT NULL,
  store_id INT64 NOT NULL,
  visitors INT64 NOT NULL,
  sessions INT64 NOT NULL,
  orders INT64 NOT NULL,
  cents INT64 NOT NULL,
  days_open_in_week INT64 NOT NULL,
  sessions_in_week INT64 NOT NULL,
  orders_in_week INT64 NOT NULL,
  cents_in_week INT64 NOT NULL,
  best_day_cents_in_week INT64 NOT NULL
)
PARTITION BY report_date
