-- Which store is open on which day, weeks ahead: who owes receipts.
CREATE TABLE IF NOT EXISTS shop_raw.opening_hours (
  day DATE NOT NULL,
  store_id INT64 NOT NULL,
  is_open BOOL NOT NULL
)
