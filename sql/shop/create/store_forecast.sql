-- What each store is likely to sell on the day after a day.
CREATE TABLE IF NOT EXISTS shop_marts.store_forecast (
  day DATE NOT NULL,
  store_id INT64 NOT NULL,
  days_known INT64 NOT NULL,
  next_day_cents FLOAT64 NOT NULL
)
PARTITION BY day
