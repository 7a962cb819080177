-- probe: may a query be run at all? Reads no table, and costs nothing.
SELECT 1 AS one
