-- What was sold and when, one row per receipt, as the tills send it.
CREATE TABLE IF NOT EXISTS shop_raw.receipts (
  sold_at TIMESTAMP NOT NULL,
  receipt_id INT64 NOT NULL,
  store_id INT64 NOT NULL,
  items INT64 NOT NULL,
  cents INT64 NOT NULL
)
