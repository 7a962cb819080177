-- What does the table hold? For comparing two small warehouses row for row.
SELECT *
FROM {table}
