-- One row per visit to a store: orders of one visitor, less than half an hour apart.
CREATE TABLE IF NOT EXISTS shop_analytics.sessions (
  order_date DATE NOT NULL,
  store_id INT64 NOT NULL,
  visitor_id INT64 NOT NULL,
  session_number INT64 NOT NULL,
  started_at TIMESTAMP NOT NULL,
  ended_at TIMESTAMP NOT NULL,
  orders INT64 NOT NULL,
  items INT64 NOT NULL,
  cents INT64 NOT NULL
)
PARTITION BY order_date
